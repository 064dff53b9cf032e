// SPDX-License-Identifier: Apache-2.0
/*
 * names: what the engines above a runtime call its containers. Podman and CRI-O: containers/storage; Docker:
 * config.v2.json; containerd: the id is the name; Kubernetes: annotations of the OCI configuration.
 */
#include "oci/container.h"

#include "base/list.h"
#include "base/text.h"

#include <fcntl.h>
#include <glob.h>
#include <string.h>

static struct container *by_id(struct containers *all, const char *id)
{
	struct container *hit = NULL;

	for (size_t i = 0; id && i < all->n; i++)
		if (all->v[i]->id && !strcmp(all->v[i]->id, id) && (!hit || all->v[i]->pid))
			hit = all->v[i];
	return hit;
}

static void set(char **at, const char *text)
{
	if (*at || !text || !*text)
		return;
	*at = xstrdup(text);
}

/* containers.json: [{"id", "names": [...], "metadata": "{\"image-name\"...}"}] */
static void storage_read(struct containers *all, const char *path)
{
	own_json yajl_val v = json_read(AT_FDCWD, path);

	for (size_t i = 0; i < json_n(v); i++) {
		yajl_val row = json_at(v, i);
		struct container *c = by_id(all, json_text(row, "id"));
		const char *meta = json_text(row, "metadata");
		own_json yajl_val m = c && meta ? json_parse(meta, strlen(meta)) : NULL;

		if (!c)
			continue;
		c->manager = json_text(m, "pod-name") ? "cri-o" : "podman";
		set(&c->name, json_string(json_at(json_get(row, "names"), 0)));
		set(&c->image, json_text(m, "image-name"));
	}
}

static void docker_read(struct containers *all, const char *path)
{
	own_json yajl_val v = json_read(AT_FDCWD, path);
	struct container *c = by_id(all, json_text(v, "ID"));
	const char *name = json_text(v, "Name");

	if (!c)
		return;
	c->manager = "docker";
	set(&c->name, name && *name == '/' ? name + 1 : name);
	set(&c->image, json_text(json_get(v, "Config"), "Image"));
}

/* Storage elsewhere (podman --root): LAYERS-containers/ID/userdata is the bundle there. */
static void storage_of_bundle(struct containers *all, const struct container *c)
{
	const char *below = c->bundle ? strstr(c->bundle, "-containers/") : NULL;
	own_mem char *path = below ? xprintf("%.*s-containers/containers.json", (int)(below - c->bundle), c->bundle) : NULL;

	if (path && !c->name)
		storage_read(all, path);
}

/* Docker's data elsewhere (--data-root): it mounts DATA/containers/ID/hostname and others into the container. */
static void docker_of_mounts(struct containers *all, const struct container *c)
{
	own_json yajl_val v = c->config && c->id ? json_read(AT_FDCWD, c->config) : NULL;
	own_mem char *dir = c->id ? xprintf("/containers/%s/", c->id) : NULL;
	yajl_val mounts = json_get(v, "mounts");

	for (size_t i = 0; i < json_n(mounts) && !c->name; i++) {
		const char *source = json_text(json_at(mounts, i), "source");
		const char *below = source ? strstr(source, dir) : NULL;
		own_mem char *path = below ? xprintf("%.*s%sconfig.v2.json", (int)(below - source), source, dir) : NULL;

		if (path)
			docker_read(all, path);
	}
}

static void each(struct containers *all, const char *pattern, void (*fn)(struct containers *, const char *))
{
	glob_t g = { 0 };

	if (glob(pattern, 0, NULL, &g) == 0)
		for (size_t i = 0; i < g.gl_pathc; i++)
			fn(all, g.gl_pathv[i]);
	globfree(&g);
}

static void annotations(struct container *c)
{
	own_json yajl_val v = c->config ? json_read(AT_FDCWD, c->config) : NULL;
	yajl_val a = json_get(v, "annotations");
	const char *manager = json_text(a, "io.container.manager");

	if (manager && !c->manager)
		c->manager = !strcmp(manager, "libpod") ? "podman" : !strcmp(manager, "cri-o") ? "cri-o" : NULL;
	if (!c->manager && c->root && text_starts(c->root, "/run/containerd/"))
		c->manager = "containerd";
	if (!c->manager && c->root && text_starts(c->root, "/run/docker/"))
		c->manager = "docker";
	set(&c->name, json_text(a, "io.kubernetes.cri.container-name"));
	set(&c->name, json_text(a, "io.kubernetes.container.name"));
	set(&c->name, json_text(a, "nerdctl/name"));
	set(&c->image, json_text(a, "io.kubernetes.cri.image-name"));
	set(&c->image, json_text(a, "io.kubernetes.cri-o.ImageName"));
}

void names_find(struct containers *all)
{
	const char *home = getenv("HOME");
	own_mem char *own = xprintf("%s/.local/share/containers/storage/*-containers/containers.json",
				    home ? home : "/root");

	if (!all->n)
		return;
	each(all, "/var/lib/containers/storage/*-containers/containers.json", storage_read);
	each(all, own, storage_read);
	each(all, "/var/lib/docker/containers/*/config.v2.json", docker_read);
	for (size_t i = 0; i < all->n; i++)
		storage_of_bundle(all, all->v[i]);
	for (size_t i = 0; i < all->n; i++)
		if (!all->v[i]->name)
			docker_of_mounts(all, all->v[i]);
	for (size_t i = 0; i < all->n; i++)
		annotations(all->v[i]);
}
