// SPDX-License-Identifier: Apache-2.0
/*
 * cgroup-props: the caller's text, for every controller
 *
 *     "cpu":
 *      - "strategy": "merge"
 *      - "properties": ["cpu.shares", "cpu.idle"]
 *
 * "merge" adds to the known limits of the controller, "replace" takes their place.
 */
#include "kind/cgroup-props.h"

#include "base/list.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>

/* a place in the text, and what was wrong there */
struct cursor {
	const char *p;
	const char *want; /* NULL: nothing */
};

static bool sign(struct cursor *c, char what, const char *want)
{
	c->p += strspn(c->p, " \t\r\n");
	if (*c->p == what) {
		c->p++;
		return true;
	}
	if (want && !c->want)
		c->want = want;
	return false;
}

/* "..." owned by the caller; NULL if there is none */
static char *word(struct cursor *c, const char *want)
{
	const char *from;
	size_t n;

	if (!sign(c, '"', want))
		return NULL;
	from = c->p;
	n = strcspn(from, "\"\n");
	if (from[n] != '"' || !n) {
		c->want = want;
		return NULL;
	}
	c->p = from + n + 1;
	return xprintf("%.*s", (int)n, from);
}

/* - "key": */
static void key(struct cursor *c, const char *name, const char *want)
{
	own_mem char *got = sign(c, '-', want) ? word(c, want) : NULL;

	if (!got || strcmp(got, name))
		c->want = c->want ? c->want : want;
	sign(c, ':', want);
}

static bool same_controller(const struct prop_name *p, const char *controller)
{
	size_t n = strlen(controller);

	return p->controller ? !strcmp(p->controller, controller) :
			       p->v2 && !strncmp(p->name, controller, n) && p->name[n] == '.';
}

static void drop(struct props *all, const char *controller)
{
	size_t n = 0;

	for (size_t i = 0; i < all->n; i++)
		if (!same_controller(&all->v[i], controller))
			all->v[n++] = all->v[i];
	all->n = n;
}

static bool has(const struct props *all, const char *name, bool v2)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i].v2 == v2 && !strcmp(all->v[i].name, name))
			return true;
	return false;
}

/*
 * A name of the caller's, for either version. Known ones keep their row, with its moment and its way of being set;
 * the strings of others live as long as the session.
 */
static void take(struct props *all, const char *controller, const char *name)
{
	for (const struct prop_name *k = prop_names; k->name; k++)
		if (!strcmp(k->name, name) && !has(all, name, k->v2))
			*vec_add(all) = *k;
	for (int v2 = 0; v2 < 2; v2++)
		if (!has(all, name, v2))
			*vec_add(all) = (struct prop_name){
				xstrdup(controller), v2, xstrdup(name),
				!strcmp(controller, "cpuset") ? PROP_EARLY : PROP_LATE, PROP_VALUE
			};
}

static void one(struct cursor *c, struct props *all)
{
	own_mem char *controller = word(c, "a controller's name in quotes"), *strategy = NULL;

	sign(c, ':', "a colon behind the controller");
	key(c, "strategy", "- \"strategy\":");
	strategy = c->want ? NULL : word(c, "\"merge\" or \"replace\"");
	if (!strategy || (strcmp(strategy, "merge") && strcmp(strategy, "replace")))
		c->want = c->want ? c->want : "\"merge\" or \"replace\"";
	key(c, "properties", "- \"properties\":");
	sign(c, '[', "[ before the properties");
	if (!c->want && !strcmp(strategy, "replace"))
		drop(all, controller);
	for (bool first = true; !c->want && !sign(c, ']', NULL); first = false) {
		own_mem char *name = first || sign(c, ',', ", or ] behind a property") ? word(c, "a property's name in quotes") : NULL;

		if (name && (strchr(name, '/') || name[0] == '.'))
			c->want = "the name of a file in the cgroup's directory";
		if (!c->want)
			take(all, controller, name);
	}
}

static int parse(struct session *s, const char *from, const char *text, struct props *all)
{
	struct cursor c = { text, NULL };
	size_t line = 1;

	while (!c.want && c.p[strspn(c.p, " \t\r\n")])
		one(&c, all);
	if (!c.want)
		return 0;
	for (const char *p = text; p < c.p; p++)
		line += *p == '\n';
	return session_fail(s, -EBADRQC, "%s: line %zu: wanted %s", from, line, c.want);
}

static int load(struct session *s, struct props *all)
{
	const char *text = s->opts->cgroup_props, *path = s->opts->cgroup_props_file;
	own_mem char *file = NULL;
	int r;

	for (const struct prop_name *p = prop_names; p->name; p++)
		*vec_add(all) = *p;
	r = text && *text ? parse(s, "cgroup-props", text, all) : 0;
	if (r < 0 || !path || !*path)
		return r;
	r = text_read(AT_FDCWD, path, &file, NULL);
	return r < 0 ? session_fail(s, r, "cgroup-props-file %s", path) : parse(s, path, file, all);
}

int cgroup_props(struct session *s, const struct props **ret)
{
	struct map *m = session_map(s, "cgroup props");
	struct props *all = map_get(m, 0);
	int r = 0;

	if (!all) {
		all = xalloc(sizeof(*all));
		map_put(m, 0, all);
		r = load(s, all);
	}
	*ret = all;
	return r;
}

const struct prop_name *props_find(const struct props *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->v[i].name, name))
			return &p->v[i];
	return NULL;
}
