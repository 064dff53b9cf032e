/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fhandle: files that the kernel knows by a handle only, as those that inotify and fanotify watch. An
 * image holds the handle and the path that it had.
 */
#ifndef KIND_FHANDLE_H
#define KIND_FHANDLE_H

#include "kind/fd.h"
#include "images/fh.pb-c.h"

#define FH_WORDS 16

/* a watched file as fdinfo shows it */
struct fhandle {
	FhEntry e; /* for the image; points into this */
	uint64_t words[FH_WORDS];
	uint64_t ino;
	uint32_t sdev; /* kdev */
	char *path;
};

/**
 * fhandle_parse - read "ino:.. sdev:.. ... fhandle-bytes:.. fhandle-type:.. f_handle:..", one line of
 * fdinfo, and find the path
 * @h: to be cleared by fhandle_free()
 * @who: for messages, as "task 7: descriptor 5"
 */
int fhandle_parse(struct session *s, const struct task *task, const char *line, const char *who,
		  struct fhandle *h);
void fhandle_free(struct fhandle *h);
/** fhandle_field - a number in hexadecimal behind "NAME:" in this line; false: there is none */
bool fhandle_field(const char *line, const char *name, uint64_t *ret);
/**
 * fhandle_open - restore: the file again, by its handle or its path
 * Return: an O_PATH descriptor, or -errno with the reason.
 */
int fhandle_open(struct session *s, uint32_t sdev, uint64_t ino, const FhEntry *e, const char *who);
/** fhandle_mount_of - where the task sees a mount of that file system (kdev), owned by the caller; NULL nowhere */
char *fhandle_mount_of(const struct task *task, uint32_t sdev);
/** fhandle_mount - where a mount of the task is, owned by the caller; NULL none */
char *fhandle_mount(const struct task *task, uint32_t mnt_id);

#endif
