/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net-raw: what netlink lists, message by message, in a file of an image, and sent again.
 */
#ifndef KIND_NET_RAW_H
#define KIND_NET_RAW_H

#include "kind/net-rtnl.h"

enum raw_keep { RAW_SKIP, RAW_KEEP, RAW_DEFAULT /* keep only beside others */ };

struct raw_file {
	const char *name;
	uint32_t magic;         /* 0: a file of ours, which is there only if something is in it */
	uint16_t get, new, del; /* message types */
	uint8_t family;
	size_t head;            /* bytes of the family's header */
	enum raw_keep (*keep)(const struct nlmsghdr *h); /* NULL: all */
	/* make it a request: what is told of it, but not taken, is removed; 0 or -errno of the kernel */
	int (*send)(struct rtnl *n, struct nlmsghdr *h);
	int (*map)(struct session *s, struct nlmsghdr *h); /* --address-map in a message of the image */
	uint8_t ask;            /* value of the header's byte asked_at: which of the sort are listed */
	uint8_t asked_at;
	size_t by_default;      /* so many are there from the start: fewer are worth a file */
	bool hosts;             /* only the host's root may make them, or list them: in a user namespace there are none */
	bool beside;            /* some come by themselves: those that are there are left alone; others reported */
};

struct raw_list {
	struct nlmsghdr **v;
	size_t n, max;
	size_t bytes;
	size_t from;  /* the listing that goes on began here */
	bool special; /* something that is not there by default */
	const struct raw_file *f;
};

void raw_list_free(struct raw_list *l);
#define own_raw __attribute__((cleanup(raw_list_free)))

/** raw_open - a socket of another netlink family, of network namespace id; 1: the kernel was built without */
int raw_open(struct session *s, struct rtnl *n, int bus, uint32_t id);
/** raw_list_get - append what the kernel has of f; nothing if it was built without */
int raw_list_get(struct rtnl *n, const struct raw_file *f, struct raw_list *l);
/** raw_list_ask - the same for a header of f->head bytes that says which ones */
int raw_list_ask(struct rtnl *n, const struct raw_file *f, const void *head, struct raw_list *l);
/** raw_one_ask - the same for an object that is asked for, not listed */
int raw_one_ask(struct rtnl *n, const struct raw_file *f, const void *head, struct raw_list *l);
/** raw_write - the file of l, named f->name-id.img */
int raw_write(struct session *s, const struct raw_list *l, uint32_t id);
/** raw_dump - raw_list_get and raw_write */
int raw_dump(struct session *s, struct rtnl *n, const struct raw_file *f, uint32_t id);
/**
 * raw_read - append all messages of a file, each checked to be what the file is for
 * Addresses in it are mapped (--address-map).
 * Return: 0, 1 no such file, -errno with the reason.
 */
int raw_read(struct session *s, const struct raw_file *f, uint32_t id, struct raw_list *l);
/** raw_send - as f->send has it, or to be made; what is there already is no failure */
int raw_send(struct rtnl *n, const struct raw_file *f, struct nlmsghdr *h);
/**
 * raw_rounds - send the messages; those that fail wait for a later round, as one may need another
 * that stands behind it
 * @ret_errno: of the last failure, whose words are in n->why
 * Return: how many never succeeded; they are the first of l.
 */
size_t raw_rounds(struct rtnl *n, struct raw_list *l, int *ret_errno);
/** raw_replay - raw_rounds of which none may fail */
int raw_replay(struct session *s, struct rtnl *n, struct raw_list *l, uint32_t id);
/** raw_input - append those attributes of h that are input, n types; nests are marked as such where the type has NLA_F_NESTED */
void raw_input(struct nlmsghdr *req, const struct nlmsghdr *h, size_t head, const uint16_t *types, size_t n);
/** raw_reverse - the last one first */
void raw_reverse(struct raw_list *l);

#endif
