/* SPDX-License-Identifier: Apache-2.0 */
/* json: reading (yajl's tree, bounded) and writing JSON. */
#ifndef OCI_JSON_H
#define OCI_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yajl/yajl_gen.h>
#include <yajl/yajl_tree.h>

#define JSON_MAX (16u << 20) /* bytes of one document; larger ones are no configuration */
#define JSON_DEPTH 64

/** json_read - a whole file; NULL with errno (EBADMSG: no JSON, too large or too deep). Owned */
yajl_val json_read(int dirfd, const char *path);
/** json_parse - n bytes of text; NULL if it is no JSON, too large or nested too deep. Owned */
yajl_val json_parse(const char *text, size_t n);
static inline void own_json_release(yajl_val *v)
{
	yajl_tree_free(*v);
}
#define own_json __attribute__((cleanup(own_json_release)))

/* Each takes NULL and values of another type as "not there"; results are borrowed. */
yajl_val json_get(yajl_val v, const char *key);
const char *json_text(yajl_val v, const char *key);
int64_t json_int(yajl_val v, const char *key, int64_t otherwise);
bool json_true(yajl_val v, const char *key);
size_t json_n(yajl_val array);
yajl_val json_at(yajl_val array, size_t i);
/** json_string - the text of a value itself, or NULL */
const char *json_string(yajl_val v);

/* ---- writing ---- */

/** json_new - a writer; indented by two spaces */
yajl_gen json_new(void);
/** json_end - its text, owned; the writer is gone */
char *json_end(yajl_gen g);
void json_key(yajl_gen g, const char *key);
/** json_put - a member; text that is no UTF-8 is made so; NULL: nothing is written */
void json_put(yajl_gen g, const char *key, const char *text);
void json_put_int(yajl_gen g, const char *key, int64_t v);
void json_put_bool(yajl_gen g, const char *key, bool v);
void json_item(yajl_gen g, const char *text);
/** json_copy - a value as it was read */
void json_copy(yajl_gen g, yajl_val v);

/** json_write - text into a new file below dirfd, mode 0600; 0 or -errno */
int json_write(int dirfd, const char *name, const char *text);

#endif
