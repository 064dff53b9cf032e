// SPDX-License-Identifier: Apache-2.0
/*
 * sysv: System V objects of an ipc namespace, in two tasks.
 * Usage: sysv CASE DIR. DIR/ready appears when all is set up; on SIGTERM "OK" or the first failure goes
 * into DIR/verdict.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>

#define P 4096
#define BAD ((void *)-1)

union arg { int val; struct semid_ds *ds; unsigned short *array; };
struct message { long type; char text[8000]; };

static void waste(int n) /* so that ids are not those of a fresh namespace */
{
	for (int i = 0; i < n; i++) {
		shmctl(shmget(IPC_PRIVATE, P, 0600), IPC_RMID, NULL);
		semctl(semget(IPC_PRIVATE, 1, 0600), 0, IPC_RMID);
		msgctl(msgget(IPC_PRIVATE, 0600), IPC_RMID, NULL);
	}
}

static int writable(char *p) /* by asking the kernel to store there */
{
	int fds[2], r;

	if (pipe(fds) || write(fds[1], "w", 1) != 1)
		return -1;
	r = read(fds[0], p, 1) == 1;
	close(fds[0]);
	close(fds[1]);
	return r;
}

static void all(void)
{
	int a, gone, big, sem, used, q, st, i;
	char *whole, *cut, *ro, *removed, *huge;
	unsigned short values[5] = { 1, 0, 32767, 4, 5 }, got[5];
	struct shmid_ds ds;
	struct semid_ds sd;
	struct msqid_ds qd;
	static struct message m;
	pid_t kid;

	waste(5);
	a = shmget(0x5151, 8 * P, IPC_CREAT | 0644);
	whole = shmat(a, NULL, 0);
	cut = shmat(a, NULL, 0);
	ro = shmat(a, NULL, SHM_RDONLY);
	CHECK(a > 0 && whole != BAD && cut != BAD && ro != BAD);
	for (i = 0; i < 8; i++)
		memset(whole + i * P, 'a' + i, P);
	CHECK(munmap(cut, P) == 0 && munmap(cut + 3 * P, P) == 0 && mprotect(cut + 5 * P, P, PROT_READ) == 0);
	CHECK(shmctl(a, SHM_LOCK, NULL) == 0);
	gone = shmget(0x5252, 2 * P, IPC_CREAT | 0600);
	removed = shmat(gone, NULL, 0);
	strcpy(removed + P, "removed");
	CHECK(shmctl(gone, IPC_RMID, NULL) == 0);
	big = shmget(IPC_PRIVATE, 1UL << 30, IPC_CREAT | SHM_NORESERVE | 0600);
	huge = shmat(big, NULL, 0);
	CHECK(huge != BAD);
	strcpy(huge + (1UL << 30) - 100, "far");
	CHECK(shmdt(huge) == 0);
	/* owner and creator are others than we */
	sem = semget(0x5353, 5, IPC_CREAT | 0660);
	CHECK(sem > 0 && semctl(sem, 0, SETALL, (union arg){ .array = values }) == 0);
	sd.sem_perm = (struct ipc_perm){ .uid = 12, .gid = 34, .mode = 0640 };
	CHECK(semctl(sem, 0, IPC_SET, (union arg){ .ds = &sd }) == 0);
	used = semget(IPC_PRIVATE, 2, 0600);
	CHECK(semctl(used, 0, SETVAL, 32767) == 0 && semop(used, &(struct sembuf){ 1, 3, 0 }, 1) == 0);
	CHECK(seteuid(77) == 0);
	q = msgget(0x5454, IPC_CREAT | 0600);
	CHECK(seteuid(0) == 0 && q > 0);
	for (i = 0; i < 3; i++) {
		m.type = 3 - i;
		memset(m.text, '0' + i, sizeof(m.text));
		CHECK(msgsnd(q, &m, i == 0 ? 0 : i == 1 ? 7999 : 11, IPC_NOWAIT) == 0);
	}
	CHECK(msgctl(q, IPC_STAT, &qd) == 0);
	qd.msg_qbytes = 8100; /* fuller than that limit would allow one by one */
	CHECK(msgctl(q, IPC_SET, &qd) == 0);
	kid = fork();
	if (!kid) {
		CHECK(munmap(whole, 4 * P) == 0 && mprotect(whole + 4 * P, P, PROT_READ) == 0);
		sleep_term();
		CHECK(whole[6 * P] == 'g' && whole[4 * P] == 'e' && !writable(whole + 4 * P));
		whole[7 * P] = 'K';
		if (why[0])
			write(open("kid.why", O_CREAT | O_WRONLY, 0600), why, strlen(why));
		_exit(why[0] ? 1 : 0);
	}
	wait_term();
	kill(kid, SIGTERM);
	CHECK(waitpid(kid, &st, 0) == kid && st == 0);
	CHECK(shmget(0x5151, 0, 0) == a && whole[0] == 'a' && ro[7 * P] == 'K' && !writable(ro));
	CHECK(cut[P] == 'b' && cut[4 * P] == 'e' && cut[7 * P] == 'K');
	whole[2 * P] = 'W';
	CHECK(cut[2 * P] == 'W' && ro[2 * P] == 'W');
	CHECK(!writable(cut) && !writable(cut + 3 * P) && !writable(cut + 5 * P) && writable(cut + 6 * P));
	CHECK(shmctl(a, IPC_STAT, &ds) == 0 && (ds.shm_perm.mode & 01777) == 0644);
	CHECK(ds.shm_perm.mode & 02000); /* locked */
	CHECK(ds.shm_nattch == 6); /* whole, ro, and the four pieces of cut */
	CHECK(shmctl(gone, IPC_STAT, &ds) == 0 && (ds.shm_perm.mode & 01000) && ds.shm_nattch == 1);
	CHECK(!strcmp(removed + P, "removed") && shmdt(removed) == 0 && shmctl(gone, IPC_STAT, &ds) < 0);
	huge = shmat(big, NULL, 0);
	CHECK(huge != BAD && !strcmp(huge + (1UL << 30) - 100, "far") && !huge[0]);
	CHECK(semget(0x5353, 5, 0) == sem && semctl(sem, 0, GETALL, (union arg){ .array = got }) == 0);
	CHECK(!memcmp(values, got, sizeof(got)) && semctl(sem, 0, IPC_STAT, (union arg){ .ds = &sd }) == 0);
	CHECK(sd.sem_perm.uid == 12 && sd.sem_perm.gid == 34 && sd.sem_perm.cuid == 0 && sd.sem_perm.mode == 0640);
	CHECK(sd.sem_otime == 0 && semctl(used, 0, IPC_STAT, (union arg){ .ds = &sd }) == 0 && sd.sem_otime != 0);
	CHECK(semctl(used, 0, GETVAL) == 32767 && semctl(used, 1, GETVAL) == 3);
	CHECK(msgget(0x5454, 0) == q && msgctl(q, IPC_STAT, &qd) == 0);
	CHECK(qd.msg_perm.cuid == 77 && qd.msg_qbytes == 8100 && qd.msg_qnum == 3);
	CHECK(msgrcv(q, &m, sizeof(m.text), 2, IPC_NOWAIT) == 7999 && m.text[7998] == '1');
	CHECK(msgrcv(q, &m, sizeof(m.text), 0, IPC_NOWAIT) == 0 && m.type == 3);
	CHECK(msgrcv(q, &m, sizeof(m.text), 0, IPC_NOWAIT) == 11 && m.type == 1 && m.text[10] == '2');
	finish();
}

/* lives only while somebody has it attached */
static void forced(int detached)
{
	int id = shmget(IPC_PRIVATE, P, IPC_CREAT | 0600);
	char *p = detached ? NULL : shmat(id, NULL, 0);
	struct shmid_ds ds;

	CHECK(id >= 0 && p != BAD);
	if (p)
		strcpy(p, "forced");
	wait_term();
	CHECK(shmctl(id, IPC_STAT, &ds) == 0);
	if (p) {
		CHECK(!strcmp(p, "forced") && shmdt(p) == 0);
		CHECK(shmctl(id, IPC_STAT, &ds) < 0 || !detached);
	}
	finish();
}

/* Semaphores before a child has used them, with it, and after its end. */
static void undo(void)
{
	static const struct { int before, ops[4], with, after; } want[] = {
		{ 100, { 1 }, 101, 100 },	       { 100, { -7 }, 93, 100 },	   { 100, { -90, 20, -30 }, 0, 100 },
		{ 0, { 32767, -32767 }, 0, 0 },	       { 32767, { -20000 }, 12767, 32767 }, { 10, { 5 }, 15, 10 },
		{ 0, { 16384 }, 16384, 0 },	       { 3, { 0 }, 3, 3 },
	};
	enum { N = sizeof(want) / sizeof(want[0]), FIRST = 3 };
	int other = semget(IPC_PRIVATE, 3, IPC_CREAT | 0600), sem = semget(IPC_PRIVATE, N + FIRST, IPC_CREAT | 0600), p[2];
	char c = 0;
	pid_t pid;

	CHECK(other >= 0 && pipe(p) == 0);
	for (int i = 0; i < N; i++)
		CHECK(semctl(sem, FIRST + i, SETVAL, want[i].before) == 0);
	pid = fork();
	for (int i = 0; pid == 0 && i < N; i++)
		for (int k = 0; k < 4 && want[i].ops[k]; k++) {
			struct sembuf op = { FIRST + i, want[i].ops[k], SEM_UNDO | IPC_NOWAIT };

			CHECK(semop(sem, &op, 1) == 0);
		}
	if (pid == 0) { /* one that is out of balance: only what was taken is given back */
		struct sembuf ops[] = { { 0, 32767, 0 }, { 0, -32767, SEM_UNDO }, { 1, 32767, 0 }, { 1, -7, 0 },
					{ 2, 20000, SEM_UNDO }, { 2, -20000, 0 }, { 2, 12767, SEM_UNDO }, { 2, 20000, 0 } };

		CHECK(semop(sem, ops, 8) == 0 && write(p[1], &why[0], 1) == 1);
		for (;;)
			pause();
	}
	CHECK(read(p[0], &c, 1) == 1 && !c);
	wait_term();
	for (int i = 0; i < N; i++)
		CHECK(semctl(sem, FIRST + i, GETVAL) == want[i].with);
	CHECK(semctl(sem, 0, GETVAL) == 0 && semctl(sem, 1, GETVAL) == 32760 && semctl(sem, 2, GETVAL) == 32767);
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, NULL, 0) == pid);
	for (int i = 0; i < N; i++)
		CHECK(semctl(sem, FIRST + i, GETVAL) == want[i].after);
	CHECK(semctl(sem, 0, GETVAL) == 32767 && semctl(sem, 1, GETVAL) == 32760 && semctl(sem, 2, GETVAL) == 0);
	CHECK(semctl(other, 0, GETVAL) == 0);
	finish();
}

/* A thread needs a list of adjustments, too, but nothing is in it. */
static void undo_none(void)
{
	int sem = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
	struct sembuf ops[] = { { 0, 5, SEM_UNDO }, { 0, -5, SEM_UNDO }, { 0, 1, 0 } };

	CHECK(semop(sem, ops, 3) == 0);
	wait_term();
	CHECK(semctl(sem, 0, GETVAL) == 1 && semctl(sem, 0, IPC_RMID) == 0);
	finish();
}

static void undo_host(void)
{
	int sem = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
	struct sembuf up = { 0, 5, SEM_UNDO };

	CHECK(semop(sem, &up, 1) == 0);
	wait_term();
	CHECK(semctl(sem, 0, IPC_RMID) == 0);
	finish();
}

int main(int argc, char **argv)
{
	if (judge_begin(argc, argv) < 0)
		return 2;
	if (!strcmp(argv[1], "forced"))
		forced(0);
	else if (!strcmp(argv[1], "forced-detached"))
		forced(1);
	else if (!strcmp(argv[1], "undo"))
		undo();
	else if (!strcmp(argv[1], "undo-none"))
		undo_none();
	else if (!strcmp(argv[1], "undo-host"))
		undo_host();
	all();
	return 0;
}
