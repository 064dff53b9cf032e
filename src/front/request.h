/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request: what a caller wants, and how it is carried out. Command line, configuration files and RPC
 * each merely fill in the one CriuOpts; what RPC has no field for stands beside it.
 */
#ifndef FRONT_REQUEST_H
#define FRONT_REQUEST_H

#include "base/limits.h"
#include "base/near.h"
#include "session/session.h"

struct texts {
	char **v; /* owned */
	size_t n, max;
};

struct request {
	CriuOpts *opts; /* owned, with all that hangs on it */
	/* directories by name; images_dir_fd and work_dir_fd of opts are not looked at here */
	char *images_dir, *work_dir, *pidfile; /* owned or NULL */
	int images, work;		       /* opened directories; owned */
	struct texts scripts;		       /* --action-script, in the order given */
	/* command line only */
	bool detached, daemon, sibling_asked, exec_cmd, log_pid, stream, page_server, extra, experimental;
	bool inherit_asked, compat_asked, deprecated, no_default_config;
	char *address, *config, *libdir; /* owned or NULL */
	long port;
	int ps_fd, status_fd;
	struct texts features; /* check --feature */
	const char *unknown;   /* word of the command line that is no option; borrowed */

	/* who asked: files are opened and scripts run as this one; 0 is the superuser */
	bool foreign;
	uid_t uid;
	gid_t gid;

	/* a caller in this process: told every step before the scripts; negative fails the job */
	int (*watch)(void *arg, const char *step);
	void *watch_arg;
	struct stats stats; /* of the job that was done */
	bool logged;	    /* its log was begun */
	/* a restore succeeded and the caller is to be told: until it returns our death ends the tasks */
	void (*done)(void *arg, pid_t root);
	void *done_arg;
	int rpc;	/* socket to tell steps on, or -1; borrowed */
	int caller;	/* socket of the request, or -1; borrowed */
	bool self;	/* the caller is the root of the tree: it hears nothing while it is stopped */
	pid_t root;	/* root task once it is known, for scripts */
	bool dumping;
	int log_fd;	/* where scripts write; borrowed, while a session runs */
	bool post_dump_failed;
	struct limits limits; /* the caller's own, while a session runs */
};

#define WHY_MAX 1000 /* a reason, with its NUL; cr_errmsg may have 1023 bytes */

void texts_free(struct texts *t);

void request_init(struct request *q);
void request_close(struct request *q);
/** request_copy - options of src for one job; directories and what is running are not copied */
void request_copy(struct request *q, const struct request *src);
/** request_merge - opts on top of what q has: present fields win, lists grow */
int request_merge(struct request *q, const CriuOpts *opts);

/** request_dirs - open the directories that are not open yet. 0 or -errno, reason in why */
int request_dirs(struct request *q, char *why, size_t n);
/** request_log_stderr - of a command without a job: what it says on standard error goes to --log-file, if that is given */
int request_log_stderr(struct request *q, char *why, size_t n);
/** request_refuse - options that the engine does not have yet: name and what to do; NULL if none */
const char *request_refuse(const struct request *q);
/** request_conflict - options of a restore that are wrong or do not go together: the sentence; NULL if none */
const char *request_conflict(const struct request *q);
/** join_ns_known - is that a sort of namespace that --join-ns has? n: its length */
bool join_ns_known(const char *ns, size_t n);
/**
 * request_dump, request_restore - with the log, pidfile and statistics that belong to it
 * Return: 0 or -errno with the reason in why; -ECANCELED and q->post_dump_failed if a post-dump
 * script failed.
 */
int request_dump(struct request *q, char *why, size_t n);
int request_restore(struct request *q, pid_t *root, char *why, size_t n);
/** request_cpuinfo - write cpuinfo.img, or compare it with the processor here: -ENOTSUP */
int request_cpuinfo(struct request *q, bool check, char *why, size_t n);
/** request_check - can this kernel do what every dump needs; the reason in why if not */
int request_check(struct request *q, char *why, size_t n);
/** pidfile_write - pid into a new file below the work directory */
int pidfile_write(struct request *q, pid_t pid, char *why, size_t n);
/** request_exec - opts->exec_cmd replaces this process; returns only if it cannot */
int request_exec(struct request *q, char *why, size_t n);

/** step_tell - struct notify.call: RPC first, then the scripts, the last given first */
int step_tell(void *arg, const char *step, pid_t pid, int fd);
/** script_run - one step for every action script; 0 or -ECANCELED */
int script_run(struct request *q, const char *step);
/** rpc_notify - one step to the caller on q->rpc; waits for the answer */
int rpc_notify(struct request *q, const char *step, pid_t pid, int fd);

/**
 * owner_assume - files are opened as q->uid from now on, as long as this process lives
 * @sock: the peer's connection, or -1: it started us itself
 * The engine keeps what it needs to trace; the power over files is what goes.
 */
int owner_assume(struct request *q, int sock, char *why, size_t n);
/**
 * owner_become - this process is q->uid from now on, with CAP_CHECKPOINT_RESTORE and no other right
 */
int owner_become(struct request *q, int sock, char *why, size_t n);
/** owner_check - is every task of the tree q->uid's own? */
int owner_check(const struct request *q, pid_t root, char *why, size_t n);

/** cli_has - is that one of criu's commands? */
bool cli_has(const char *command);
/** cli_near - look among those that can be used for what was meant */
void cli_near(struct near *s);
/** cli_main - criu's command line, which stasis shares; exit status */
int cli_main(int argc, char **argv);
/**
 * rpc_serve - answer requests on a SEQPACKET socket until it closes; exit status
 * @base: options of configuration files and command line
 * @service: a connection of `criu service`: what only a parent may ask is refused
 */
int rpc_serve(const struct request *base, int sock, bool service);
/** service_run - `criu service`; exit status */
int service_run(struct request *q);

#endif
