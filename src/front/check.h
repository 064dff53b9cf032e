/* SPDX-License-Identifier: Apache-2.0 */
/* check: what this kernel, and this program, can do; the names are criu's. */
#ifndef FRONT_CHECK_H
#define FRONT_CHECK_H

#include "front/request.h"

/** check_run - `criu check`; exit status */
int check_run(struct request *q);

#endif
