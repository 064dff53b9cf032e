// SPDX-License-Identifier: Apache-2.0
/* metadata: the small JSON files of an archive, as CRI-O and checkpointctl have them. */
#include "oci/archive.h"

#include "base/list.h"
#include "base/text.h"
#include "oci/bolt.h"
#include "oci/sqlite.h"
#include "oci/term.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static char *now_text(void)
{
	time_t now = time(NULL);
	char buf[32];
	struct tm tm;

	strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	return xstrdup(buf);
}

/* STORAGE/libpod/bolt_state.db, or as of Podman 4.8 STORAGE/db.sql; owned, or NULL with errno */
static char *podman_stored(const char *storage, const char *id, size_t *n)
{
	const char *keys[] = { "ctr", id, "config" };
	own_mem char *bolt = xprintf("%s/libpod/bolt_state.db", storage), *sql = xprintf("%s/db.sql", storage);
	char *text = bolt_get(bolt, keys, ARRAY_SIZE(keys), n);

	/* both may be there, when Podman has moved from one to the other */
	if (!text && errno == ENOENT)
		text = sqlite_get(sql, "SELECT JSON FROM ContainerConfig WHERE ID = ?", id, n);
	return text;
}

/* What Podman has stored of its container, and wants back in config.dump; owned, or NULL */
static char *config_of_podman(const struct container *c)
{
	char *below = c->bundle ? strstr(c->bundle, "-containers/") : NULL;
	own_mem char *storage = below ? xprintf("%.*s", (int)(below - c->bundle), c->bundle) : NULL;
	char *slash = storage ? strrchr(storage, '/') : NULL;
	own_mem char *text = NULL;
	own_json yajl_val v = NULL;
	size_t n = 0;

	if (!c->manager || strcmp(c->manager, "podman") || !slash)
		return NULL;
	*slash = 0;
	text = podman_stored(storage, c->id, &n);
	v = text ? json_parse(text, n) : NULL;
	if (!v)
		term_warn("%s: Podman's configuration of the container cannot be read there (%s), so that podman container restore --import will not take the archive",
			  storage, text ? "it is no JSON" : errno == ENOPKG ? "libsqlite3 is not installed" : strerror(errno));
	return v ? take_mem(text) : NULL;
}

static char *config_dump(const struct container *c)
{
	char *podman = config_of_podman(c);
	yajl_gen g;
	own_mem char *now = now_text();

	if (podman)
		return podman;
	g = json_new();
	yajl_gen_map_open(g);
	json_put(g, "id", c->id);
	json_put(g, "name", c->name ? c->name : c->id);
	json_put(g, "rootfsImage", c->image ? c->image : "");
	json_put(g, "rootfsImageName", c->image ? c->image : "");
	json_put(g, "runtime", *c->runtime ? c->runtime : "none");
	json_put(g, "createdTime", c->created ? c->created : "0001-01-01T00:00:00Z");
	json_put(g, "checkpointedTime", now);
	json_put(g, "restoredTime", "0001-01-01T00:00:00Z");
	json_put_bool(g, "restored", false);
	yajl_gen_map_close(g);
	return json_end(g);
}

/* What has no OCI configuration gets the least that readers ask for. */
static char *spec_dump(const struct container *c)
{
	own_json yajl_val v = c->config ? json_read(AT_FDCWD, c->config) : NULL;
	yajl_gen g = json_new();

	if (v) {
		json_copy(g, v);
		return json_end(g);
	}
	yajl_gen_map_open(g);
	json_put(g, "ociVersion", "1.0.2");
	json_key(g, "root");
	yajl_gen_map_open(g);
	json_put(g, "path", c->rootfs ? c->rootfs : "/");
	yajl_gen_map_close(g);
	json_key(g, "annotations");
	yajl_gen_map_open(g);
	json_put(g, "io.kubernetes.cri.container-name", c->name ? c->name : c->id);
	yajl_gen_map_close(g);
	yajl_gen_map_close(g);
	return json_end(g);
}

static char *bind_mounts(yajl_val spec)
{
	yajl_val list = json_get(spec, "mounts");
	yajl_gen g = json_new();

	yajl_gen_array_open(g);
	for (size_t i = 0; i < json_n(list); i++) {
		yajl_val m = json_at(list, i);
		const char *type = json_text(m, "type"), *from = json_text(m, "source");
		struct stat st;

		if (!type || strcmp(type, "bind") || !from || stat(from, &st) < 0)
			continue;
		yajl_gen_map_open(g);
		json_put(g, "source", from);
		json_put(g, "destination", json_text(m, "destination"));
		json_put(g, "file_type", S_ISDIR(st.st_mode) ? "directory" : "file");
		json_put_int(g, "permissions", st.st_mode & 07777);
		yajl_gen_map_close(g);
	}
	yajl_gen_array_close(g);
	return json_end(g);
}

/* ---- network.status ---- */

static void gateway(char buf[INET_ADDRSTRLEN], const char *dev)
{
	own_mem char *text = NULL;
	char *save = NULL;

	*buf = 0;
	if (text_read(AT_FDCWD, "/proc/thread-self/net/route", &text, NULL) < 0)
		return;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char name[64];
		unsigned to, via;
		struct in_addr a;

		if (sscanf(l, "%63s %x %x", name, &to, &via) == 3 && !to && via && !strcmp(name, dev)) {
			a.s_addr = via;
			inet_ntop(AF_INET, &a, buf, INET_ADDRSTRLEN);
		}
	}
}

static int prefix_of(const struct sockaddr *mask)
{
	const uint8_t *p = mask->sa_family == AF_INET ?
				   (const uint8_t *)&((const struct sockaddr_in *)mask)->sin_addr :
				   (const uint8_t *)&((const struct sockaddr_in6 *)mask)->sin6_addr;
	int n = mask->sa_family == AF_INET ? 4 : 16, bits = 0;

	for (int i = 0; i < n; i++)
		bits += __builtin_popcount(p[i]);
	return bits;
}

static void subnets(yajl_gen g, struct ifaddrs *all, const char *dev)
{
	char via[INET_ADDRSTRLEN];

	gateway(via, dev);
	json_key(g, "subnets");
	yajl_gen_array_open(g);
	for (struct ifaddrs *a = all; a; a = a->ifa_next) {
		char text[INET6_ADDRSTRLEN];
		own_mem char *net = NULL;
		bool v4 = a->ifa_addr && a->ifa_addr->sa_family == AF_INET;
		bool v6 = a->ifa_addr && a->ifa_addr->sa_family == AF_INET6;

		if (strcmp(a->ifa_name, dev) || (!v4 && !v6) || !a->ifa_netmask)
			continue;
		if (v6 && IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr))
			continue;
		inet_ntop(a->ifa_addr->sa_family,
			  v4 ? (void *)&((struct sockaddr_in *)a->ifa_addr)->sin_addr :
			       (void *)&((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr, text, sizeof(text));
		net = xprintf("%s/%d", text, prefix_of(a->ifa_netmask));
		yajl_gen_map_open(g);
		json_put(g, "ipnet", net);
		if (v4 && *via)
			json_put(g, "gateway", via);
		yajl_gen_map_close(g);
	}
	yajl_gen_array_close(g);
}

/* in a process that is in the container's network namespace */
static char *network_here(void)
{
	struct ifaddrs *all = NULL;
	yajl_gen g;
	size_t shown = 0;

	if (getifaddrs(&all) < 0)
		return xstrdup("null\n");
	g = json_new();
	yajl_gen_map_open(g);
	json_key(g, "default");
	yajl_gen_map_open(g);
	json_key(g, "interfaces");
	yajl_gen_map_open(g);
	for (struct ifaddrs *a = all; a; a = a->ifa_next) {
		const struct sockaddr_ll *l = (void *)a->ifa_addr;
		char mac[20];

		if (!l || l->sll_family != AF_PACKET || (a->ifa_flags & IFF_LOOPBACK) || !(a->ifa_flags & IFF_UP))
			continue;
		shown++;
		json_key(g, a->ifa_name);
		yajl_gen_map_open(g);
		subnets(g, all, a->ifa_name);
		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", l->sll_addr[0], l->sll_addr[1],
			 l->sll_addr[2], l->sll_addr[3], l->sll_addr[4], l->sll_addr[5]);
		json_put(g, "mac_address", mac);
		yajl_gen_map_close(g);
	}
	yajl_gen_map_close(g);
	yajl_gen_map_close(g);
	yajl_gen_map_close(g);
	freeifaddrs(all);
	if (!shown) {
		yajl_gen_free(g);
		return xstrdup("null\n");
	}
	return json_end(g);
}

/* The supervisor stays in its own namespaces, so that a child looks. */
static char *network_status(pid_t pid)
{
	own_mem char *path = xprintf("/proc/%d/ns/net", pid);
	own_fd int ns = open(path, O_RDONLY | O_CLOEXEC), from = -1;
	int p[2], status;
	char buf[65536];
	size_t n = 0;
	ssize_t got;
	pid_t child;

	if (ns < 0 || pipe2(p, O_CLOEXEC) < 0)
		return xstrdup("null\n");
	from = p[0];
	child = fork();
	if (child == 0) {
		char *text = setns(ns, CLONE_NEWNET) < 0 ? NULL : network_here();

		_exit(!text || fd_write_all(p[1], text, strlen(text)) < 0);
	}
	close(p[1]);
	while (n < sizeof(buf) - 1 && (got = read(from, buf + n, sizeof(buf) - 1 - n)) > 0)
		n += got;
	buf[n] = 0;
	if (child < 0 || waitpid(child, &status, 0) < 0 || status || !n)
		return xstrdup("null\n");
	return xstrdup(buf);
}

static int put(int dir, const char *name, char *text, char *why, size_t n)
{
	own_mem char *own = text;
	int r = json_write(dir, name, own);

	if (r < 0)
		snprintf(why, n, "%s: %s", name, strerror(-r));
	return r;
}

int archive_metadata(const struct container *c, int dir, char *why, size_t n)
{
	own_json yajl_val spec = c->config ? json_read(AT_FDCWD, c->config) : NULL;
	int r = put(dir, "config.dump", config_dump(c), why, n);

	if (r == 0)
		r = put(dir, "spec.dump", spec_dump(c), why, n);
	if (r == 0)
		r = put(dir, "network.status", network_status(c->pid), why, n);
	if (r == 0)
		r = put(dir, "bind.mounts", bind_mounts(spec), why, n);
	return r;
}
