// SPDX-License-Identifier: Apache-2.0
/* keyring: keys in all keyrings of a thread, judged by the program that has them. Usage: keyring CASE DIR, see judge.h. */
#define _GNU_SOURCE
#include "judge.h"

#include <linux/keyctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define POSSESSOR_AND_USER 0x3f3f0000
#define OWNER 1234

static long keyctl(int op, long a, long b, long c, long d) { return syscall(SYS_keyctl, op, a, b, c, d); }

static long add(const char *type, const char *name, const char *value, long ring)
{
	long k = syscall(SYS_add_key, type, name, value, value ? strlen(value) : 0, ring);

	if (k < 0)
		exit(3);
	return k;
}

/* Below ring there is that key, with that value. */
static long there(long ring, const char *name, const char *value)
{
	char buf[100] = "";
	long k = keyctl(KEYCTL_SEARCH, ring, (long)"user", (long)name, 0);

	CHECK(k > 0);
	CHECK(keyctl(KEYCTL_READ, k, (long)buf, sizeof(buf) - 1, 0) == (long)strlen(value));
	CHECK(!strcmp(buf, value));
	return k;
}

static void described(long key, const char *as)
{
	char text[300] = "";

	CHECK(keyctl(KEYCTL_DESCRIBE, key, (long)text, sizeof(text) - 1, 0) > 0);
	CHECK(!strcmp(text, as));
}

static long holds(long ring)
{
	long n = keyctl(KEYCTL_READ, ring, 0, 0, 0);

	return n < 0 ? n : n / 4;
}

static void keys(void)
{
	long inner, both;
	int status;
	pid_t child;

	if (keyctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) < 0)
		exit(3);
	add("user", "invocation_id", "0123456789abcdef", KEY_SPEC_SESSION_KEYRING);
	inner = add("keyring", "a ring; within", NULL, KEY_SPEC_SESSION_KEYRING);
	both = add("user", "in two", "two", inner);
	CHECK(keyctl(KEYCTL_LINK, both, KEY_SPEC_SESSION_KEYRING, 0, 0) == 0);
	CHECK(keyctl(KEYCTL_CHOWN, both, OWNER, OWNER + 1, 0) == 0);
	CHECK(keyctl(KEYCTL_SETPERM, both, POSSESSOR_AND_USER, 0, 0) == 0);
	add("user", "of the process", "p", KEY_SPEC_PROCESS_KEYRING);
	add("user", "of the thread", "t", KEY_SPEC_THREAD_KEYRING);
	child = fork();
	if (child == 0) {
		sleep_term();
		there(KEY_SPEC_SESSION_KEYRING, "in two", "two");
		add("user", "new", "n", KEY_SPEC_SESSION_KEYRING);
		CHECK(keyctl(KEYCTL_READ, KEY_SPEC_THREAD_KEYRING, 0, 0, 0) < 0);
		_exit(why[0] != 0);
	}
	wait_term();
	there(KEY_SPEC_SESSION_KEYRING, "invocation_id", "0123456789abcdef");
	described(keyctl(KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, (long)"user", (long)"invocation_id", 0),
		  "user;0;0;3f010000;invocation_id");
	inner = keyctl(KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, (long)"keyring", (long)"a ring; within", 0);
	both = there(inner, "in two", "two");
	CHECK(there(KEY_SPEC_SESSION_KEYRING, "in two", "two") == both);
	described(both, "user;1234;1235;3f3f0000;in two");
	CHECK(holds(KEY_SPEC_SESSION_KEYRING) == 3 && holds(inner) == 1);
	there(KEY_SPEC_PROCESS_KEYRING, "of the process", "p");
	there(KEY_SPEC_THREAD_KEYRING, "of the thread", "t");
	CHECK(holds(KEY_SPEC_PROCESS_KEYRING) == 1 && holds(KEY_SPEC_THREAD_KEYRING) == 1);
	kill(child, SIGTERM);
	CHECK(wait(&status) == child && status == 0);
	there(KEY_SPEC_SESSION_KEYRING, "new", "n");
}

int main(int argc, char **argv)
{
	if (judge_begin(argc, argv) < 0)
		return 2;
	if (!strcmp(argv[1], "logon")) {
		keyctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0);
		add("logon", "a:secret", "s", KEY_SPEC_SESSION_KEYRING);
		CHECK(keyctl(KEYCTL_SET_TIMEOUT, add("user", "short", "s", KEY_SPEC_SESSION_KEYRING), 1000, 0, 0) == 0);
		wait_term();
	} else {
		keys();
	}
	finish();
}
