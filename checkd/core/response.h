/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading one HTTP/1.1 response of our own httpd from a growing run of bytes: with Content-Length,
 * chunked, or without a body. Not a general client: a response that only ends with its connection
 * is refused.
 *
 *     response_init(&p); after every read: r = response_feed(&p, all bytes so far)
 *         ST_AGAIN: more is needed; 0: complete, p.used bytes belong to it; ST_INVALID: no such
 * response
 */
#ifndef MUSTER_CHECKD_CORE_RESPONSE_H
#define MUSTER_CHECKD_CORE_RESPONSE_H

#include "common/base/buf.h"

enum { RESPONSE_HEAD_MAX = 16 << 10, RESPONSE_BODY_MAX = 64 << 20 };

struct response {
	int status;
	uint64_t index; /* X-Consul-Index, 0: none */
	bool close;	/* the connection ends behind it */
	size_t used;
	struct str body; /* borrowed from the input or from chunks */
	/* the parser's own */
	size_t head_size, length, at;
	bool chunked;
	struct buf chunks;
};

void response_init(struct response *p);
void response_fini(struct response *p);
int response_feed(struct response *p, struct str input);

#endif
