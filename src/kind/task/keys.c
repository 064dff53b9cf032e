// SPDX-License-Identifier: Apache-2.0
/*
 * keys: keyrings of a thread (keyrings(7)).
 *
 * Kept:   that the session keyring is not the restorer's; its name, unless anonymous.
 * Lost:   keys in the keyrings of session, process and thread (reported).
 * Kernel: keyctl(2). A keyring is joined by name, which those who shared it share again.
 */
#include "kind/task.h"

#include "base/res.h"

#include <linux/keyctl.h>
#include <string.h>
#include <sys/syscall.h>

#define NAME_MAX_BYTES 256
#define ANONYMOUS "_ses"

static const struct {
	int id;
	const char *name;
} rings[] = {
	{ KEY_SPEC_SESSION_KEYRING, "session" },
	{ KEY_SPEC_PROCESS_KEYRING, "process" },
	{ KEY_SPEC_THREAD_KEYRING, "thread" },
};

static int keys_ask(struct session *s, struct thread *t, struct batch *b)
{
	call4(b, NULL, SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, batch_mem(b, NULL, NAME_MAX_BYTES, NULL),
	      NAME_MAX_BYTES - 1);
	for (size_t i = 0; i < sizeof(rings) / sizeof(rings[0]); i++)
		call4(b, NULL, SYS_keyctl, KEYCTL_READ, rings[i].id, 0, 0);
	return 0;
}

static int keys_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	const char *text = batch_local(b, b->calls[first].args[2]), *name = strrchr(text, ';');

	/* "keyring;uid;gid;permissions;name"; a user's own session keyring is what everybody has who has none */
	if (batch_ret(b, first) > 0 && name && strncmp(name, ";_uid", 5) && strlen(name + 1) < NAME_MAX_BYTES / 2)
		t->core->thread_core->session_keyring = xstrdup(name + 1);
	for (size_t i = 0; i < sizeof(rings) / sizeof(rings[0]); i++)
		if (batch_ret(b, first + 1 + i) > 0 && (i || t->core->thread_core->session_keyring))
			session_warn(s, "thread %d: has %d keys in its %s keyring, which are not kept", t->vtid,
				     (int)(batch_ret(b, first + 1 + i) / sizeof(int32_t)), rings[i].name);
	return 0;
}

static int keys_restore(struct session *s, struct thread *t, struct batch *b)
{
	const char *name = t->core->thread_core->session_keyring;
	char own[NAME_MAX_BYTES];
	int r;

	if (!name)
		return 0;
	/* whoever has an anonymous one has it with others: these meet under a name of this restore's */
	snprintf(own, sizeof(own), strcmp(name, ANONYMOUS) ? "%.128s" : "%.128s.%s", name, s->run_id);
	call2(b, NULL, SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, batch_str(b, own));
	r = batch_run(b);
	if (r == 0 && batch_ret(b, 0) < 0)
		session_warn(s, "thread %d: session keyring %s cannot be joined; it has the restorer's", t->vtid, own);
	return r;
}

const struct task_kind task_kind_keys = {
	.name = "keyrings",
	.stage = STAGE_SECCOMP,
	.per_thread = true,
	.ask = keys_ask,
	.dump = keys_dump,
	.restore = keys_restore,
};
