/* SPDX-License-Identifier: Apache-2.0 */
/* pipe-data: size and contents of pipes and fifos, one record per inode in an image of their kind. */
#ifndef KIND_PIPE_DATA_H
#define KIND_PIPE_DATA_H

#include "kind/fd.h"

/* where a kind keeps them; a const table in the kind's file */
struct pipe_store {
	const char *noun, *file;
	uint32_t magic;
	const char *ids, *taken, *loaded; /* names of the session's maps */
};

/* one pipe of the image */
struct pipe_data {
	uint32_t size;	/* 0: not recorded */
	uint32_t bytes; /* what is to be put back; at most size */
	char *buf;
	uint32_t *pieces; /* of which some are packets (O_DIRECT): 2 * length, and 1 if it is one */
	size_t n_pieces;  /* 0: no packets */
};

/**
 * pipe_data_dump - the pipe behind v, once per inode; nothing is taken out
 * @ret_id: its number in images: that of the inode, if it fits and no other has it
 */
int pipe_data_dump(struct session *s, const struct pipe_store *st, const struct fd_view *v,
		   uint32_t *ret_id);
/**
 * pipe_data_get - what the image says of a pipe; reads the image at the first call
 * @ret: borrowed; NULL if it says nothing
 */
int pipe_data_get(struct session *s, const struct pipe_store *st, uint32_t id, struct pipe_data **ret);
/** pipe_data_fill - set the size and write the contents into an empty pipe, which is O_NONBLOCK */
int pipe_data_fill(struct session *s, const struct pipe_store *st, uint32_t id, int fd);

#endif
