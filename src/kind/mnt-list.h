/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-list: the mounts of a namespace, as /proc/PID/mountinfo shows them or as an image holds them. */
#ifndef KIND_MNT_LIST_H
#define KIND_MNT_LIST_H

#include "base/map.h"
#include "images/mnt.pb-c.h"
#include "session/session.h"

struct ns;

struct mnt {
	MntEntry *e;	    /* owned; strings too */
	struct mnt *parent; /* NULL: the root mount */
	int fd;		    /* restore: its root directory, once mounted; else -1 */
	int source;	    /* restore: detached clone of an external mount, or -1 */
	int ns;		    /* restore: the nested namespace it is in; borrowed; -1: the root task's */
	const struct ns *in; /* restore: that namespace, if it belongs to a nested user namespace */
	bool idmapped;	    /* dump */
	char *was;	    /* its root was deleted: the name that had; e->root is one that nothing leads to. Or NULL */
	bool locked;	    /* restore: came from a more privileged namespace with its parent */
	int shows;	    /* restore: the pid namespace that a new proc shows; 0: that of who makes it */
	bool shows_mnt;	    /* restore: a mnt namespace, which is made after all mounts of the root task's */
	bool staged;	    /* restore: see mnt-owned.c */
	int userns;	    /* restore: of its id map, or -1 */
	bool flagged;	    /* restore: its flags are set */
	bool slave_outside; /* restore: slave of a group of the host's */
	bool peer_outside;  /* restore: member of one */
	bool done;	    /* dump: its files are read; restore: its groups are set */
	size_t kids;	    /* dump: mounts on it that are left; restore: that are made */
	int bare;	    /* restore: a clone without what is mounted on it, or -1 */

	/* siblings by falling mountpoint, what lies deeper before what would hide it */
	struct mnt *child, *prev, *next;
	struct mnt *same; /* the next of the same superblock */
	struct mnt *peer; /* restore: the next of the same peer group */
	struct mnt *slave; /* restore: the next with the same master */
};

struct mnt_list {
	struct mnt **v; /* parents before children */
	size_t n, max;
	struct mnt *root;
	bool idmaps;	   /* restore: some are idmapped */
	struct map by_id;  /* struct mnt */
	struct map by_dev; /* struct mnt, the first of that superblock; same leads on */
};

/** mnt_each_same - all of the list that show superblock dev */
#define mnt_each_same(o, l, dev) (struct mnt *o = map_get(&(l)->by_dev, dev); o; o = o->same)

/** mnt_parse - from the text of a mountinfo file */
int mnt_parse(struct session *s, const char *text, struct mnt_list *ret);
/** mnt_parse_flat - the same, parents not looked for: those of our own namespace may be out of sight */
int mnt_parse_flat(struct session *s, const char *text, struct mnt_list *ret);
/** mnt_keep - forget mounts that keep() does not want, with what is mounted on them */
void mnt_keep(struct session *s, struct mnt_list *l, bool (*keep)(struct session *s, const struct mnt *m));
/** mnt_by_dev - link those of one superblock */
void mnt_by_dev(struct mnt_list *l);
/** mnt_read - from mountpoints-N.img, checked */
int mnt_read(struct session *s, uint32_t ns_id, struct mnt_list *ret);
/** mnt_write - into mountpoints-N.img */
int mnt_write(struct session *s, uint32_t ns_id, const struct mnt_list *l);
void mnt_free(struct mnt_list *l);
/** mnt_ns_of - restore: id of the mount namespace whose image has that mount, or 0 */
uint32_t mnt_ns_of(struct session *s, uint32_t mnt_id);
/** mnt_below - what of a mount's path lies below another's; NULL if it does not, "" if equal */
const char *mnt_below(const char *path, const char *above);
/** mnt_open - dump: the path of its root, from "/" of a task in its namespace; -1: another mount hides it */
int mnt_open(int root, const struct mnt *m);
/** mnt_forsake - m's root was deleted: all with that id show the same; see mnt.was */
void mnt_forsake(struct mnt *m, uint32_t id);
/** mnt_fsname - name for fsopen(), or NULL if such file systems are never made anew */
const char *mnt_fsname(const MntEntry *e);
/** mnt_layers - of one option of an overlay: the layers that it names, "A:B", within it; NULL: none */
char *mnt_layers(char *option);
/** mnt_has_contents - are files of this superblock carried in the image? */
bool mnt_has_contents(const MntEntry *e);

#endif
