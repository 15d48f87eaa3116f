/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one HTTP/1.x response from bytes as they arrive and hands its body on piece by piece; keeps
 * nothing but the head. For httpd's answers and for plain HTTP checks.
 *
 *     response_init(&p, on_body, arg); p.bodyless = it answers a HEAD; p.on_field = ...
 *     response_feed(&p, bytes, &used): ST_AGAIN: more is needed; 0: complete, `used` bytes were its
 *         own; ST_INVALID: not HTTP; ST_TOO_LARGE: over a limit
 *     response_end(&p): the connection ended: 0 when that is a proper end, else ST_TRUNCATED
 */
#ifndef MUSTER_COMMON_BASE_RESPONSE_H
#define MUSTER_COMMON_BASE_RESPONSE_H

#include "common/base/buf.h"

enum { RESPONSE_HEAD_MAX = 64 << 10, RESPONSE_CHUNK_LINE_MAX = 256 };

enum response_state {
	RESPONSE_HEAD,
	RESPONSE_LENGTH,     /* `left` bytes of body */
	RESPONSE_UNTIL_END,  /* all that comes */
	RESPONSE_CHUNK_LINE, /* in `line` */
	RESPONSE_CHUNK,	     /* `left` bytes */
	RESPONSE_CHUNK_END,  /* its CRLF, `left` bytes */
	RESPONSE_TRAILERS,
	RESPONSE_DONE,
};

struct response {
	int status;
	uint64_t index;	 /* X-Consul-Index, 0: none */
	bool close;	 /* the connection ends behind it */
	bool redirected; /* it has a Location */
	bool bodyless;
	struct buf status_line; /* "200 OK" */
	struct buf content_type;
	/* the parser's own */
	enum response_state state;
	bool chunked, has_length;
	uint64_t left, length; /* length: of the body as announced */
	size_t head_size;
	struct buf line; /* of the head or of a chunk, as far as it has come */
	void (*on_body)(void *arg, struct str piece);
	/* Each field of the head; of those of interim answers, too. NULL: nobody asks. */
	void (*on_field)(void *arg, struct str name, struct str value);
	void *arg;
};

void response_init(struct response *p, void (*on_body)(void *arg, struct str piece), void *arg);
void response_fini(struct response *p);
void response_reset(struct response *p); /* for the next one; who is told stays */
int response_feed(struct response *p, struct str bytes, size_t *used_out);
int response_end(struct response *p);

#endif
