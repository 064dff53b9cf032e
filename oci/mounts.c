// SPDX-License-Identifier: Apache-2.0
#include "oci/mounts.h"

#include "base/list.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>

static void unescape(char *t)
{
	char *to = t;

	for (; *t; t++) {
		unsigned v;

		if (t[0] == '\\' && strspn(t + 1, "01234567") >= 3 && sscanf(t + 1, "%3o", &v) == 1) {
			*to++ = v;
			t += 3;
		} else {
			*to++ = *t;
		}
	}
	*to = 0;
}

static char *word(char **at)
{
	char *w = strsep(at, " "), *copy = xstrdup(w ? w : "");

	unescape(copy);
	return copy;
}

static void line(struct mounts *m, char *l)
{
	char *sep = strstr(l, " - ");
	struct mount_line *x;
	char *w;

	if (!sep)
		return;
	*sep = 0;
	sep += 3;
	x = vec_add(m);
	memset(x, 0, sizeof(*x));
	w = strsep(&l, " ");
	x->id = w ? strtoul(w, NULL, 10) : 0;
	strsep(&l, " "); /* parent */
	w = strsep(&l, " ");
	snprintf(x->dev, sizeof(x->dev), "%s", w ? w : "");
	x->root = word(&l);
	x->at = word(&l);
	x->fs = word(&sep);
	x->source = word(&sep);
	x->options = word(&sep);
}

int mounts_read(struct mounts *m, pid_t pid)
{
	own_mem char *text = NULL;
	char *save = NULL;
	int r = text_readf(AT_FDCWD, &text, "/proc/%d/mountinfo", pid);

	if (r < 0)
		return r;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		line(m, l);
	return 0;
}

void mounts_free(struct mounts *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].root);
		free(m->v[i].at);
		free(m->v[i].fs);
		free(m->v[i].source);
		free(m->v[i].options);
	}
	free(m->v);
	memset(m, 0, sizeof(*m));
}

char *mounts_outside(const struct mounts *m, const char *dev, const char *root)
{
	const struct mount_line *best = NULL;
	size_t best_n = 0;

	for (size_t i = 0; i < m->n; i++) {
		const struct mount_line *x = &m->v[i];
		size_t n = strcmp(x->root, "/") ? strlen(x->root) : 0;

		if (strcmp(x->dev, dev) || strncmp(root, x->root, n) || (root[n] && root[n] != '/'))
			continue;
		if (!best || n > best_n) {
			best = x;
			best_n = n;
		}
	}
	if (!best)
		return NULL;
	root += best_n;
	return xprintf("%s%s", strcmp(best->at, "/") || !strcmp(root, "") ? best->at : "",
		       strcmp(root, "/") ? root : "");
}
