/* SPDX-License-Identifier: Apache-2.0 */
/* mem-aio: contexts of io_setup(2) at restore, for the family: mem/aio.c. */
#ifndef KIND_MEM_AIO_H
#define KIND_MEM_AIO_H

#include "kind/mem.h"

/** aio_check - does what an image says of a task's contexts fit together? */
int aio_check(struct session *s, const struct task *k);
/** aio_finish - memory is filled, children are born: make the contexts where their rings lie */
int aio_finish(struct session *s, struct task *k);

#endif
