// SPDX-License-Identifier: Apache-2.0
/* layout: source: OCI image specification 1.1, image-layout.md, manifest.md, config.md. */
#include "oci/layout.h"

#include "base/list.h"
#include "base/text.h"
#include "oci/sha256.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define BLOCK (1u << 20)
#define BLOBS "blobs/sha256/"
#define TEXT_MAX (1u << 20) /* bytes of a manifest */
#define TEXTS_MAX 64
#define TYPE(name) "application/vnd.oci.image." name

static int fail(char *why, size_t n, int r, const char *file, const char *doing, const char *reason)
{
	snprintf(why, n, "archive %.300s: %s%s%s", file, doing, *doing ? ": " : "", reason);
	return r;
}

/* ---- writing ---- */

struct blob {
	char digest[SHA256_TEXT];
	uint64_t size;
};

static struct blob blob_of(const char *text)
{
	struct blob b = { .size = strlen(text) };
	struct sha256 s;

	sha256_start(&s);
	sha256_add(&s, text, b.size);
	sha256_end(&s, b.digest);
	return b;
}

static int blob_of_file(int fd, struct blob *b)
{
	own_mem char *buf = xalloc(BLOCK);
	struct sha256 s;
	ssize_t got;

	sha256_start(&s);
	b->size = 0;
	while ((got = pread(fd, buf, BLOCK, b->size)) > 0) {
		sha256_add(&s, buf, got);
		b->size += got;
	}
	sha256_end(&s, b->digest);
	return got < 0 ? -errno : 0;
}

static void put_digest(yajl_gen g, const char *key, const char *digest)
{
	own_mem char *text = xprintf("sha256:%s", digest);

	if (key)
		json_put(g, key, text);
	else
		json_item(g, text);
}

static void descriptor(yajl_gen g, const char *type, const struct blob *b)
{
	json_put(g, "mediaType", type);
	put_digest(g, "digest", b->digest);
	json_put_int(g, "size", b->size);
}

static char *config_text(const struct blob *layer)
{
	yajl_gen g = json_new();

	yajl_gen_map_open(g);
	json_put(g, "architecture", "amd64");
	json_put(g, "os", "linux");
	json_key(g, "config");
	yajl_gen_map_open(g);
	yajl_gen_map_close(g);
	json_key(g, "rootfs");
	yajl_gen_map_open(g);
	json_put(g, "type", "layers");
	json_key(g, "diff_ids");
	yajl_gen_array_open(g);
	put_digest(g, NULL, layer->digest);
	yajl_gen_array_close(g);
	yajl_gen_map_close(g);
	yajl_gen_map_close(g);
	return json_end(g);
}

static void annotation(yajl_gen g, const char *prefix, const char *key, const char *text)
{
	own_mem char *name = xprintf("%s%s", prefix, key);

	if (text && *text)
		json_put(g, name, text);
}

/* Podman and CRI-O restore an image that bears theirs: only what they made themselves gets these. */
static void annotations(yajl_gen g, const struct container *c)
{
	const char *name = c->name ? c->name : c->id, *runtime = *c->runtime ? c->runtime : "none";
	const char *engine = c->manager ? c->manager : runtime;
	const char *own = !c->manager ? NULL :
			  !strcmp(c->manager, "podman") ? "io.podman.annotations.checkpoint." :
			  !strcmp(c->manager, "cri-o") ? "io.kubernetes.cri-o.annotations.checkpoint." : NULL;
	const char *const prefix[] = { "org.criu.checkpoint.", own };
	struct utsname u = { 0 };

	uname(&u);
	json_key(g, "annotations");
	yajl_gen_map_open(g);
	annotation(g, prefix[0], "engine.name", engine);
	annotation(g, prefix[0], "container.name", name);
	annotation(g, prefix[0], "rootfsImageUserRequested", c->image);
	for (size_t i = 0; i < 2 && prefix[i]; i++) {
		if (i)
			annotation(g, prefix[i], "name", name);
		annotation(g, prefix[i], "rawImageName", c->image);
		annotation(g, prefix[i], "rootfsImageName", c->image);
		annotation(g, prefix[i], "runtime.name", runtime);
		annotation(g, prefix[i], "criu.version", "40200");
		annotation(g, prefix[i], "host.arch", "amd64");
		annotation(g, prefix[i], "host.kernel", u.release);
	}
	yajl_gen_map_close(g);
}

static char *manifest_text(const struct container *c, const struct blob *config, const struct blob *layer)
{
	yajl_gen g = json_new();

	yajl_gen_map_open(g);
	json_put_int(g, "schemaVersion", 2);
	json_put(g, "mediaType", TYPE("manifest.v1+json"));
	json_key(g, "config");
	yajl_gen_map_open(g);
	descriptor(g, TYPE("config.v1+json"), config);
	yajl_gen_map_close(g);
	json_key(g, "layers");
	yajl_gen_array_open(g);
	yajl_gen_map_open(g);
	descriptor(g, TYPE("layer.v1.tar"), layer);
	yajl_gen_map_close(g);
	yajl_gen_array_close(g);
	annotations(g, c);
	yajl_gen_map_close(g);
	return json_end(g);
}

static char *index_text(const struct container *c, const struct blob *manifest)
{
	yajl_gen g = json_new();

	yajl_gen_map_open(g);
	json_put_int(g, "schemaVersion", 2);
	json_put(g, "mediaType", TYPE("index.v1+json"));
	json_key(g, "manifests");
	yajl_gen_array_open(g);
	yajl_gen_map_open(g);
	descriptor(g, TYPE("manifest.v1+json"), manifest);
	json_key(g, "annotations");
	yajl_gen_map_open(g);
	json_put(g, "org.opencontainers.image.ref.name", "latest");
	json_put(g, "org.criu.checkpoint.container.name", c->name ? c->name : c->id);
	yajl_gen_map_close(g);
	yajl_gen_map_close(g);
	yajl_gen_array_close(g);
	yajl_gen_map_close(g);
	return json_end(g);
}

/* its files below a directory of their own: text of each, in the order in which they are packed */
static int put_text(int dir, const char *name, const char *text)
{
	return json_write(dir, name, text);
}

static int put_blob(int dir, const struct blob *b, const char *text)
{
	own_mem char *name = xprintf(BLOBS "%s", b->digest);

	return put_text(dir, name, text);
}

static int layout_write(const struct container *c, int dir)
{
	own_fd int fd = openat(dir, BLOBS "layer", O_RDONLY | O_CLOEXEC);
	own_mem char *config = NULL, *manifest = NULL, *index = NULL, *name = NULL;
	struct blob layer, cfg, man;
	int r = fd < 0 ? -errno : blob_of_file(fd, &layer);

	if (r < 0)
		return r;
	name = xprintf(BLOBS "%s", layer.digest);
	if (renameat(dir, BLOBS "layer", dir, name) < 0)
		return -errno;
	config = config_text(&layer);
	cfg = blob_of(config);
	manifest = manifest_text(c, &cfg, &layer);
	man = blob_of(manifest);
	index = index_text(c, &man);
	r = put_blob(dir, &cfg, config);
	if (r == 0)
		r = put_blob(dir, &man, manifest);
	if (r == 0)
		r = put_text(dir, "index.json", index);
	return r < 0 ? r : put_text(dir, "oci-layout", "{\"imageLayoutVersion\": \"1.0.0\"}\n");
}

int layout_pack(const struct container *c, int dir, int at, const char *file, enum archive_filter filter, char *why,
		size_t n)
{
	static const char part[] = "oci"; /* below dir, which is removed in the end */
	own_fd int top = -1;
	int r;

	if (mkdirat(dir, part, 0700) < 0 || (top = openat(dir, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
	    mkdirat(top, "blobs", 0700) < 0 || mkdirat(top, "blobs/sha256", 0700) < 0)
		return fail(why, n, -errno, file, "make a directory for the image", strerror(errno));
	r = archive_pack(dir, top, BLOBS "layer", FILTER_NONE, why, n);
	if (r < 0)
		return r;
	r = layout_write(c, top);
	if (r < 0)
		return fail(why, n, r, file, "write the image", strerror(-r));
	return archive_pack_layout(top, at, file, filter, why, n);
}

/* ---- reading ---- */

struct text {
	char *name, *text;
	size_t n;
};

struct texts_read {
	struct text *v;
	size_t n, max;
};

static void texts_drop(struct texts_read *all)
{
	for (size_t i = 0; i < all->n; i++) {
		free(all->v[i].name);
		free(all->v[i].text);
	}
	free(all->v);
}

static const struct text *text_of(const struct texts_read *all, const char *name)
{
	for (size_t i = 0; i < all->n; i++)
		if (!strcmp(all->v[i].name, name))
			return &all->v[i];
	return NULL;
}

static void text_take(struct archive *in, struct archive_entry *e, const char *name, struct texts_read *all)
{
	int64_t size = archive_entry_size(e);
	struct text t = { 0 };

	if (archive_entry_filetype(e) != AE_IFREG || size <= 0 || size > TEXT_MAX || all->n == TEXTS_MAX)
		return;
	t.text = xalloc(size + 1);
	t.n = size;
	if (archive_read_data(in, t.text, size) != size) {
		free(t.text);
		return;
	}
	t.name = xstrdup(name);
	*vec_add(all) = t;
}

/* "sha256:..." becomes the path of its blob; NULL: it is no such digest. */
static bool blob_path(const char *digest, char path[128])
{
	if (!digest || !text_starts(digest, "sha256:") || strlen(digest) != 7 + SHA256_TEXT - 1 ||
	    strspn(digest + 7, "0123456789abcdef") != SHA256_TEXT - 1)
		return false;
	snprintf(path, 128, BLOBS "%s", digest + 7);
	return true;
}

static const char *layer_find(const struct texts_read *all, char path[128])
{
	const struct text *t = text_of(all, "index.json");
	own_json yajl_val index = t ? json_parse(t->text, t->n) : NULL, manifest = NULL;
	yajl_val list = json_get(index, "manifests"), layers;

	if (json_n(list) != 1 || !blob_path(json_text(json_at(list, 0), "digest"), path))
		return "index.json must name one image";
	t = text_of(all, path);
	manifest = t ? json_parse(t->text, t->n) : NULL;
	layers = json_get(manifest, "layers");
	if (json_n(layers) != 1 || !blob_path(json_text(json_at(layers, 0), "digest"), path))
		return "the image of a checkpoint has one layer; this has none, or more";
	return NULL;
}

int layout_layer(struct archive *in, const char *file, char path[128], char *why, size_t n)
{
	struct texts_read all = { 0 };
	struct archive_entry *e;
	const char *wrong = NULL;
	bool image = false;
	int got;

	for (size_t i = 0; i < 10 * TEXTS_MAX && (got = archive_read_next_header(in, &e)) >= ARCHIVE_WARN &&
			   got != ARCHIVE_EOF; i++) {
		const char *name = archive_entry_pathname(e);

		name = name && text_starts(name, "./") ? name + 2 : name;
		if (!name || !*name || !strcmp(name, "blobs/") || !strcmp(name, BLOBS) || !strcmp(name, "blobs"))
			continue;
		if (!strcmp(name, "oci-layout") || !strcmp(name, "index.json") || text_starts(name, BLOBS))
			image = true;
		if (!image)
			break; /* the first file tells */
		text_take(in, e, name, &all);
	}
	if (image)
		wrong = layer_find(&all, path);
	texts_drop(&all);
	return wrong ? fail(why, n, -EBADMSG, file, "OCI image", wrong) : image;
}
