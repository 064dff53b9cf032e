// SPDX-License-Identifier: Apache-2.0
/*
 * uts: host and domain name.
 *
 * Kept:   both.
 * Lost:   nothing.
 * Kernel: uname(2), sethostname(2), setdomainname(2); 64 bytes each.
 */
#include "kind/ns.h"

#include "base/res.h"
#include "image/record.h"
#include "images/utsns.pb-c.h"

#include <linux/sched.h>
#include <string.h>
#include <sys/utsname.h>

/** uts_dump - utsns-N.img; Source: uname() in the namespace */
static int uts_dump(struct session *s, const struct ns *ns)
{
	UtsnsEntry e = UTSNS_ENTRY__INIT;
	struct utsname u;

	if (uname(&u) < 0)
		return session_fail(s, -errno, "uts namespace %u: uname", ns->id);
	e.nodename = u.nodename;
	e.domainname = u.domainname;
	session_debug(s, "uts namespace %u: %s, %s", ns->id, u.nodename, u.domainname);
	return image_write_one(s, MAGIC_UTSNS, &e.base, "utsns-%u.img", ns->id);
}

static int uts_restore(struct session *s, const struct ns *ns)
{
	UtsnsEntry *e = NULL;
	int r = image_read_one(s, MAGIC_UTSNS, &utsns_entry__descriptor, (ProtobufCMessage **)&e,
			       "utsns-%u.img", ns->id);

	if (r < 0)
		return r;
	if (strlen(e->nodename) > 64 || strlen(e->domainname) > 64)
		r = session_fail(s, -EBADMSG, "utsns-%u.img: a name has more than 64 bytes", ns->id);
	else if (sethostname(e->nodename, strlen(e->nodename)) < 0 ||
		 setdomainname(e->domainname, strlen(e->domainname)) < 0)
		r = session_fail(s, -errno, "uts namespace %u: set host and domain name", ns->id);
	utsns_entry__free_unpacked(e, NULL);
	return r;
}

const struct ns_kind ns_kind_uts = {
	.name = "uts",
	.flag = CLONE_NEWUTS,
	.dump = uts_dump,
	.restore = uts_restore,
};
