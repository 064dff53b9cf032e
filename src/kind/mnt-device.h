/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-device: mounts of block devices that the caller names at the dump and at the restore (--external dev[..]). */
#ifndef KIND_MNT_DEVICE_H
#define KIND_MNT_DEVICE_H

#include "kind/mnt-list.h"

/** mnt_is_device - is that what an image says of it? */
bool mnt_is_device(const MntEntry *e);
/** mnt_device_note - of a line of mountinfo: mark it if --external dev[MAJOR/MINOR]:NAME names its device; type: its file system's name */
void mnt_device_note(const struct session *s, MntEntry *e, const char *type);
/** mnt_device_take - restore, supervisor: m->source, from the device of --external dev[NAME]:PATH */
int mnt_device_take(struct session *s, struct mnt *m);

#endif
