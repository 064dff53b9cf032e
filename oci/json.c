// SPDX-License-Identifier: Apache-2.0
#include "oci/json.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>

/* yajl frees a tree by recursion: how deep it goes is seen before anything is built. */
static bool shallow(const char *text, size_t n)
{
	int depth = 0;
	bool in = false;

	for (size_t i = 0; i < n; i++) {
		if (in) {
			if (text[i] == '\\')
				i++;
			else if (text[i] == '"')
				in = false;
		} else if (text[i] == '"') {
			in = true;
		} else if (text[i] == '[' || text[i] == '{') {
			if (++depth > JSON_DEPTH)
				return false;
		} else if (text[i] == ']' || text[i] == '}') {
			depth--;
		}
	}
	return true;
}

yajl_val json_parse(const char *text, size_t n)
{
	if (n > JSON_MAX || memchr(text, 0, n) || !shallow(text, n))
		return NULL;
	return yajl_tree_parse(text, NULL, 0);
}

yajl_val json_read(int dirfd, const char *path)
{
	own_mem char *text = NULL;
	size_t n;
	int r = text_read(dirfd, path, &text, &n);
	yajl_val v = r < 0 ? NULL : json_parse(text, n);

	if (!v)
		errno = r < 0 ? -r : EBADMSG;
	return v;
}

yajl_val json_get(yajl_val v, const char *key)
{
	if (!v || !YAJL_IS_OBJECT(v))
		return NULL;
	for (size_t i = 0; i < v->u.object.len; i++)
		if (!strcmp(v->u.object.keys[i], key))
			return v->u.object.values[i];
	return NULL;
}

const char *json_string(yajl_val v)
{
	return v && YAJL_IS_STRING(v) ? v->u.string : NULL;
}

const char *json_text(yajl_val v, const char *key)
{
	return json_string(json_get(v, key));
}

int64_t json_int(yajl_val v, const char *key, int64_t otherwise)
{
	yajl_val n = json_get(v, key);

	return n && YAJL_IS_INTEGER(n) ? YAJL_GET_INTEGER(n) : otherwise;
}

bool json_true(yajl_val v, const char *key)
{
	yajl_val b = json_get(v, key);

	return b && YAJL_IS_TRUE(b);
}

size_t json_n(yajl_val a)
{
	return a && YAJL_IS_ARRAY(a) ? a->u.array.len : 0;
}

yajl_val json_at(yajl_val a, size_t i)
{
	return i < json_n(a) ? a->u.array.values[i] : NULL;
}

/* ---- writing ---- */

yajl_gen json_new(void)
{
	yajl_gen g = yajl_gen_alloc(NULL);

	yajl_gen_config(g, yajl_gen_beautify, 1);
	yajl_gen_config(g, yajl_gen_indent_string, "  ");
	return g;
}

char *json_end(yajl_gen g)
{
	const unsigned char *buf;
	size_t n;
	char *text;

	yajl_gen_get_buf(g, &buf, &n);
	text = xprintf("%.*s", (int)n, buf);
	yajl_gen_free(g);
	return text;
}

/* bytes of the UTF-8 character at p, 0 if there is none */
static size_t utf8(const unsigned char *p)
{
	size_t n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : (*p & 0xf0) == 0xe0 ? 3 :
		   *p >= 0xf0 && *p < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if (n == 3 && ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f)))
		return 0;
	if (n == 4 && ((*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f)))
		return 0;
	return n;
}

void json_item(yajl_gen g, const char *text)
{
	own_mem char *clean = xstrdup(text);
	unsigned char *p = (unsigned char *)clean;

	while (*p) {
		size_t n = utf8(p);

		if (!n)
			*p = '?';
		p += n ? n : 1;
	}
	yajl_gen_string(g, (unsigned char *)clean, strlen(clean));
}

void json_key(yajl_gen g, const char *key)
{
	json_item(g, key);
}

void json_put(yajl_gen g, const char *key, const char *text)
{
	if (!text)
		return;
	json_key(g, key);
	json_item(g, text);
}

void json_put_int(yajl_gen g, const char *key, int64_t v)
{
	json_key(g, key);
	yajl_gen_integer(g, v);
}

void json_put_bool(yajl_gen g, const char *key, bool v)
{
	json_key(g, key);
	yajl_gen_bool(g, v);
}

void json_copy(yajl_gen g, yajl_val v)
{
	if (!v || YAJL_IS_NULL(v)) {
		yajl_gen_null(g);
	} else if (YAJL_IS_STRING(v)) {
		json_item(g, v->u.string);
	} else if (YAJL_IS_NUMBER(v)) {
		yajl_gen_number(g, YAJL_GET_NUMBER(v), strlen(YAJL_GET_NUMBER(v)));
	} else if (YAJL_IS_OBJECT(v)) {
		yajl_gen_map_open(g);
		for (size_t i = 0; i < v->u.object.len; i++) {
			json_key(g, v->u.object.keys[i]);
			json_copy(g, v->u.object.values[i]);
		}
		yajl_gen_map_close(g);
	} else if (YAJL_IS_ARRAY(v)) {
		yajl_gen_array_open(g);
		for (size_t i = 0; i < v->u.array.len; i++)
			json_copy(g, v->u.array.values[i]);
		yajl_gen_array_close(g);
	} else {
		yajl_gen_bool(g, YAJL_IS_TRUE(v));
	}
}

int json_write(int dirfd, const char *name, const char *text)
{
	own_fd int fd = -1;

	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}
