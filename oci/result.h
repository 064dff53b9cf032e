/* SPDX-License-Identifier: Apache-2.0 */
/* result: what came of a checkpoint or restore: a JSON object for programs, warnings for people. */
#ifndef OCI_RESULT_H
#define OCI_RESULT_H

#include "oci/json.h"
#include "oci/people.h"

/** result_new - an answer that begins with "ok" */
yajl_gen result_new(bool ok);
/** result_container - who it is */
void result_container(yajl_gen g, const char *name, const char *id, const char *runtime, const char *engine);
/** result_path - a path as seen from everywhere, if it is there */
void result_path(yajl_gen g, const char *key, const char *path);
/**
 * result_end - the log's place and what it warns of, then the answer goes to standard output
 * @kept: the log is still there afterwards
 * @more: a warning that is not in the log; NULL: none
 */
void result_end(yajl_gen g, const struct request *q, bool kept, const char *more);
/** result_warn - what the log warns of, to standard error */
void result_warn(const struct request *q);
/** result_fail - the sentence on standard error, and with --json as an answer; 1, to be returned */
int result_fail(struct people *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
