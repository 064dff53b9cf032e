/* SPDX-License-Identifier: Apache-2.0 */
/* old: what an earlier dump left in the directory of images. */
#ifndef IMAGE_OLD_H
#define IMAGE_OLD_H

#include "session/session.h"

/** image_is - is that how a file of a dump is called? Those of other jobs (cpuinfo.img, parent, logs) are none */
bool image_is(const char *name);
/** image_remove_old - all such files of s->images, the one that makes it a checkpoint first; 0 or -errno with the reason */
int image_remove_old(struct session *s);

#endif
