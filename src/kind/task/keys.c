// SPDX-License-Identifier: Apache-2.0
/*
 * keys: keyrings of a thread, of its process and its session (keyrings(7)).
 *
 * Kept:   that the session keyring is not the restorer's; its name, unless anonymous; keys of type "user" and
 *         keyrings in all three, with descriptions, owners and permissions; who shares them.
 * Lost:   keys of other types, those that the thread may not read, larger ones than 24 KiB, expiry times (all
 *         reported); numbers of keys (reported, where there are keys); owners and permissions of the three keyrings,
 *         the session's of which lets its user search it. A keyring of a process with threads becomes one per thread,
 *         with the same keys. The user's own keyrings are no part of the tree.
 * Kernel: keyctl(2). A keyring is joined by name, which those who shared it share again.
 */
#include "kind/task.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <linux/keyctl.h>
#include <string.h>
#include <sys/syscall.h>

#define NAME_MAX_BYTES 256
#define ANONYMOUS "_ses"
#define RING_KEYS_MAX 1024u
#define DESCRIPTION_MAX 4200u /* the kernel's 4096, and what stands before it */
#define PAYLOAD_MAX 24576u
#define DEPTH_MAX 6 /* the kernel searches no deeper */
#define KEYS_MAX 10000u
#define SESSION_PERM 0x3f1b0000 /* all for who has it; view, read, search, link for its user */

static const int32_t rings[] = { KEY_SPEC_SESSION_KEYRING, KEY_SPEC_PROCESS_KEYRING, KEY_SPEC_THREAD_KEYRING };

static int keys_ask(struct session *s, struct thread *t, struct batch *b)
{
	call4(b, NULL, SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, batch_mem(b, NULL, NAME_MAX_BYTES, NULL),
	      NAME_MAX_BYTES - 1);
	for (size_t i = 0; i < ARRAY_SIZE(rings); i++)
		call4(b, NULL, SYS_keyctl, KEYCTL_READ, rings[i], 0, 0);
	call3(b, NULL, SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
	return 0;
}

static int keys_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	const char *text = batch_local(b, b->calls[first].args[2]), *name = strrchr(text, ';');
	uintptr_t full = 0;

	/* "keyring;uid;gid;permissions;name"; a user's own session keyring is what everybody has who has none */
	if (batch_ret(b, first) > 0 && name && strncmp(name, ";_uid", 5) && strlen(name + 1) < NAME_MAX_BYTES / 2) {
		t->core->thread_core->session_keyring = xstrdup(name + 1);
		t->core->thread_core->has_session_serial = true;
		t->core->thread_core->session_serial = batch_ret(b, first + 1 + ARRAY_SIZE(rings));
	}
	for (size_t i = 0; i < ARRAY_SIZE(rings); i++)
		if (batch_ret(b, first + 1 + i) > 0 && (i || t->core->thread_core->session_keyring))
			full |= 1u << i;
	if (full) /* what is in them takes batches of its own */
		map_put(session_map(s, "full keyrings"), t->tid, (void *)full);
	return 0;
}

/* ---- what is in them ---- */

/* The expiry column of /proc/keys, as far as we are shown the key. */
static bool expires(struct session *s, int32_t serial)
{
	struct map *m = session_map(s, "proc keys");
	char head[16], *line, flags[16], left[16];
	int usage;

	if (!map_get(m, 0)) {
		char *text = NULL;

		map_put(m, 0, text_read(AT_FDCWD, "/proc/keys", &text, NULL) < 0 ? xstrdup("") : text);
	}
	snprintf(head, sizeof(head), "%08x ", serial);
	line = strstr(map_get(m, 0), head);
	return line && sscanf(line + 9, "%15s %d %15s", flags, &usage, left) == 3 && strcmp(left, "perm") != 0;
}

static KeyEntry *key_add(ThreadCoreEntry *tc, int32_t serial, int32_t ring)
{
	KeyEntry *e = xalloc(sizeof(*e));

	key_entry__init(e);
	e->serial = serial;
	e->ring = ring;
	tc->keys = xgrow(tc->keys, (tc->n_keys + 1) * sizeof(*tc->keys));
	tc->keys[tc->n_keys++] = e;
	return e;
}

/* "type;uid;gid;permissions;description" */
static bool key_describe(KeyEntry *e, const char *text)
{
	char type[64];
	int at = 0;

	if (sscanf(text, "%63[^;];%u;%u;%x;%n", type, &e->uid, &e->gid, &e->perm, &at) < 4 || !at)
		return false;
	e->has_uid = e->has_gid = e->has_perm = true;
	e->type = xstrdup(type);
	e->description = xstrdup(text + at);
	return true;
}

/* 1: it is a keyring, to be looked into. */
static int key_dump(struct session *s, struct thread *t, int32_t serial, int32_t ring)
{
	struct map *seen = session_map(s, "keys seen");
	KeyEntry *e;
	struct batch b;
	int64_t text, payload;
	int r;

	if (map_get(seen, (uint32_t)serial)) {
		key_add(t->core->thread_core, serial, ring);
		return 0;
	}
	batch_start(s, &b, t);
	text = batch_mem(&b, NULL, DESCRIPTION_MAX, NULL);
	call4(&b, NULL, SYS_keyctl, KEYCTL_DESCRIBE, serial, text, DESCRIPTION_MAX - 1);
	r = batch_run(&b);
	if (r < 0)
		return r;
	if (batch_ret(&b, 0) < 0) {
		session_warn(s, "thread %d: may not look at key %d in a keyring of its own, which is not kept", t->vtid, serial);
		return 0;
	}
	e = key_add(t->core->thread_core, serial, ring);
	if (!key_describe(e, batch_local(&b, text)))
		return session_fail(s, -EBADMSG, "thread %d: key %d: its description is not understood", t->vtid, serial);
	map_put(seen, (uint32_t)serial, e);
	if (expires(s, serial))
		session_warn(s, "thread %d: key %s expires, which is not kept: it will be there without end", t->vtid, e->description);
	if (!strcmp(e->type, "keyring"))
		return 1;
	batch_clear(&b);
	payload = batch_mem(&b, NULL, PAYLOAD_MAX, NULL);
	call4(&b, NULL, SYS_keyctl, KEYCTL_READ, serial, payload, PAYLOAD_MAX);
	r = batch_run(&b);
	if (r == 0 && (strcmp(e->type, "user") != 0 || batch_ret(&b, 0) < 0 || batch_ret(&b, 0) > PAYLOAD_MAX)) {
		session_warn(s, "thread %d: key %s of type %s cannot be read; it is not kept", t->vtid, e->description, e->type);
		return 0;
	}
	e->has_payload = true;
	e->payload.len = r < 0 ? 0 : batch_ret(&b, 0);
	e->payload.data = xmemdup(batch_local(&b, payload), e->payload.len + 1);
	return r;
}

static int ring_dump(struct session *s, struct thread *t, int32_t ring, unsigned depth)
{
	int32_t ids[RING_KEYS_MAX];
	struct batch b;
	int64_t at, n;
	int r;

	batch_start(s, &b, t);
	at = batch_mem(&b, NULL, sizeof(ids), NULL);
	call4(&b, NULL, SYS_keyctl, KEYCTL_READ, ring, at, sizeof(ids));
	r = batch_run(&b);
	n = r < 0 ? 0 : batch_ret(&b, 0);
	if (r < 0)
		return r;
	if (n < 0 || n > (int64_t)sizeof(ids) || depth > DEPTH_MAX) {
		session_warn(s, "thread %d: has a keyring (%d) that it may not read, or with too many keys, which are not kept", t->vtid, ring);
		return 0;
	}
	memcpy(ids, batch_local(&b, at), n);
	for (size_t i = 0; r >= 0 && i < n / sizeof(ids[0]) && t->core->thread_core->n_keys < KEYS_MAX; i++) {
		r = key_dump(s, t, ids[i], ring);
		if (r == 1)
			r = ring_dump(s, t, ids[i], depth + 1);
	}
	return r < 0 ? r : 0;
}

/* The session's keyring is looked into once, where it is met first; a process's in each of its threads. */
static bool session_met(struct session *s, const struct thread *t)
{
	struct map *seen = session_map(s, "keys seen");
	uint32_t serial = t->core->thread_core->session_serial;

	if (map_get(seen, serial))
		return true;
	map_put(seen, serial, s);
	return false;
}

static int keys_more(struct session *s, struct thread *t)
{
	uintptr_t full = (uintptr_t)map_get(session_map(s, "full keyrings"), t->tid);
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rings); i++)
		if ((full >> i & 1) && (i || !session_met(s, t)))
			r = ring_dump(s, t, rings[i], 1);
	if (r == 0 && t->core->thread_core->n_keys)
		session_warn(s, "thread %d: its %zu keys are kept, but will have other numbers", t->vtid,
			     t->core->thread_core->n_keys);
	return r;
}

/* ---- restore ---- */

/* Who looks for a keyring by its name must be allowed to search it, which a new one lets nobody but its holders. */
static int session_join(struct session *s, struct thread *t, struct batch *b)
{
	const ThreadCoreEntry *tc = t->core->thread_core;
	char own[NAME_MAX_BYTES];
	int r;

	if (!tc->session_keyring)
		return 0;
	/* whoever has an anonymous one has it with others: these meet under a name of this restore's */
	if (strcmp(tc->session_keyring, ANONYMOUS) != 0)
		snprintf(own, sizeof(own), "%.128s", tc->session_keyring);
	else
		snprintf(own, sizeof(own), ANONYMOUS ".%s.%d", s->run_id, tc->session_serial);
	batch_stop(b, call2(b, NULL, SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, batch_str(b, own)));
	call3(b, NULL, SYS_keyctl, KEYCTL_SETPERM, KEY_SPEC_SESSION_KEYRING, SESSION_PERM);
	r = batch_run(b);
	if (r == 0 && batch_ret(b, 0) < 0)
		session_warn(s, "thread %d: session keyring %s cannot be joined; it has the restorer's", t->vtid, own);
	batch_clear(b);
	return r;
}

/* Where an entry's keyring is now; 0: it was not made. */
static int32_t ring_now(struct map *made, int32_t ring)
{
	return ring < 0 ? ring : (int32_t)(uintptr_t)map_get(made, (uint32_t)ring);
}

/* Ours, or an earlier thread's. */
static int key_make(struct session *s, struct thread *t, struct batch *b, const KeyEntry *e)
{
	struct map *made = session_map(s, "keys made");
	int32_t ring = ring_now(made, e->ring), have = (int32_t)(uintptr_t)map_get(made, (uint32_t)e->serial);
	bool is_ring = e->type && !strcmp(e->type, "keyring");
	int64_t payload = 0;
	int r;

	if (!ring || (!have && !is_ring && !e->has_payload))
		return 0; /* it was reported then */
	if (e->serial <= 0 || e->payload.len > PAYLOAD_MAX || (!have && (!e->type || !e->description || strlen(e->type) > 63 || strlen(e->description) > 4095)))
		return session_fail(s, -EBADMSG, "core-%d.img: key %d is damaged", t->vtid, e->serial);
	if (have) {
		call3(b, NULL, SYS_keyctl, KEYCTL_LINK, have, ring);
	} else {
		if (e->payload.len)
			payload = batch_mem(b, e->payload.data, e->payload.len, NULL);
		call5(b, NULL, SYS_add_key, batch_str(b, e->type), batch_str(b, e->description), payload, e->payload.len, ring);
	}
	r = batch_run(b);
	if (r == 0 && batch_ret(b, 0) < 0)
		session_warn(s, "thread %d: key %s cannot be made: %s", t->vtid, e->description ? e->description : "of another thread",
			     strerror(-batch_ret(b, 0)));
	else if (r == 0 && !have)
		map_put(made, (uint32_t)e->serial, (void *)(uintptr_t)batch_ret(b, 0));
	batch_clear(b);
	return r;
}

/* Owners and permissions come when everything is in its place: they may forbid more. */
static int key_attributes(struct session *s, struct thread *t, struct batch *b, const KeyEntry *e)
{
	int32_t now = (int32_t)(uintptr_t)map_get(session_map(s, "keys made"), (uint32_t)e->serial);
	unsigned chown = 0, perm;
	int r;

	if (!now || !e->has_perm)
		return 0;
	if (e->uid || e->gid)
		chown = call4(b, NULL, SYS_keyctl, KEYCTL_CHOWN, now, e->uid, e->gid);
	perm = call3(b, NULL, SYS_keyctl, KEYCTL_SETPERM, now, e->perm);
	r = batch_run(b);
	if (r == 0 && (batch_ret(b, chown) < 0 || batch_ret(b, perm) < 0))
		session_warn(s, "thread %d: owner or permissions of key %s cannot be set", t->vtid, e->description);
	batch_clear(b);
	return r;
}

static int keys_restore(struct session *s, struct thread *t, struct batch *b)
{
	const ThreadCoreEntry *tc = t->core->thread_core;
	struct batch own;
	int r;

	batch_start(s, &own, t);
	r = session_join(s, t, &own);
	for (size_t i = 0; r == 0 && i < tc->n_keys; i++)
		r = key_make(s, t, &own, tc->keys[i]);
	for (size_t i = tc->n_keys; r == 0 && i-- > 0;)
		r = key_attributes(s, t, &own, tc->keys[i]);
	return r;
}

const struct task_kind task_kind_keys = {
	.name = "keyrings",
	.stage = STAGE_SECCOMP,
	.per_thread = true,
	.ask = keys_ask,
	.dump = keys_dump,
	.more = keys_more,
	.restore = keys_restore,
};
