// SPDX-License-Identifier: Apache-2.0
/*
 * config: configuration files: one long option a line, without its dashes; the value behind blanks or
 * "="; "#" begins a comment; "..." quotes a value, \" in it is a quote.
 */
#include "front/options.h"

#include "base/list.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>

#define BLANKS " \t\r"

/* Text in quotes, from behind the first one; -EBADMSG if the other is missing or more follows. */
static int quoted(char *p, char *ret)
{
	while (*p && *p != '"') {
		if (p[0] == '\\' && p[1] == '"')
			p++;
		*ret++ = *p++;
	}
	*ret = 0;
	if (*p++ != '"')
		return -EBADMSG;
	p += strspn(p, BLANKS);
	return *p && *p != '#' ? -EBADMSG : 0;
}

static int unquoted(char *p, char *ret)
{
	size_t n = strcspn(p, BLANKS);

	memcpy(ret, p, n);
	ret[n] = 0;
	p += n;
	p += strspn(p, BLANKS);
	return *p && *p != '#' ? -EBADMSG : 0;
}

/* A line as a word of a command line, "--name=value"; NULL if there is nothing in it. */
static int config_line(char *line, char **ret)
{
	own_mem char *value = NULL;
	char *name = line + strspn(line, BLANKS), *p;
	int r = 0;

	*ret = NULL;
	if (!*name || *name == '#')
		return 0;
	p = name + strcspn(name, BLANKS "=#");
	if (*p && *p != '#') {
		char separator = *p;

		*p++ = 0;
		p += strspn(p, BLANKS);
		if (separator != '=' && *p == '=')
			p += 1 + strspn(p + 1, BLANKS);
		value = *p && *p != '#' ? xalloc(strlen(p) + 1) : NULL;
		if (value)
			r = *p == '"' ? quoted(p + 1, value) : unquoted(p, value);
	} else {
		*p = 0;
	}
	if (r == 0)
		*ret = value ? xprintf("--%s=%s", name, value) : xprintf("--%s", name);
	return r;
}

static int config_words(char *text, struct texts *words, size_t *line)
{
	int r = 0;

	for (char *next; r == 0 && text; text = next) {
		char *word;

		next = strchr(text, '\n');
		if (next)
			*next++ = 0;
		++*line;
		r = config_line(text, &word);
		if (word)
			*vec_add(words) = word;
	}
	return r;
}

int config_file(struct request *q, const char *path, char *why, size_t n)
{
	own_mem char *text = NULL;
	struct texts words = { 0 };
	char reason[WHY_MAX] = "";
	size_t line = 0;
	int first, r = text_read(AT_FDCWD, path, &text, NULL);

	if (r == -ENOENT || r == -ENOTDIR || (r == -EACCES && (q->foreign || geteuid())))
		return 0;
	if (r < 0) {
		snprintf(why, n, "configuration file %s: %s", path, strerror(-r));
		return r;
	}
	*vec_add(&words) = xstrdup("criu");
	r = config_words(text, &words, &line);
	if (r < 0)
		snprintf(reason, sizeof(reason), "line %zu: more than one value, or a quote too few", line);
	*vec_add(&words) = NULL;
	if (r == 0)
		r = options_parse(q, words.n - 1, words.v, &first, reason, sizeof(reason));
	if (r != 0)
		snprintf(why, n, "configuration file %.300s: %.600s", path, reason);
	for (size_t i = 0; i < words.n; i++)
		free(words.v[i]);
	free(words.v);
	return r == 0 ? 0 : -EINVAL;
}

int config_defaults(struct request *q, char *why, size_t n)
{
	const char *home = getenv("HOME"), *env = getenv("CRIU_CONFIG_FILE");
	own_mem char *own = home ? xprintf("%s/.criu/default.conf", home) : NULL;
	int r = 0;

	if (!q->config && !q->no_default_config) {
		r = config_file(q, "/etc/criu/default.conf", why, n);
		if (r == 0 && own)
			r = config_file(q, own, why, n);
	}
	if (r == 0 && env && *env)
		r = config_file(q, env, why, n);
	if (r == 0 && q->config) {
		own_mem char *path = xstrdup(q->config); /* the file may name another, which is not read */

		r = config_file(q, path, why, n);
	}
	return r;
}
