/* SPDX-License-Identifier: Apache-2.0 */
/* old: images of an earlier dump into the same directory. */
#ifndef IMAGE_OLD_H
#define IMAGE_OLD_H

#include "session/session.h"

/**
 * images_remove_old - all that begin as images do: one that the next dump does not write would be taken for a part of it
 * Other files stay, whatever their names are, and so do directories and links. The inventory goes first: what is left
 * after a failure is no checkpoint any more.
 */
int images_remove_old(struct session *s);

#endif
