/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one file that knows the HTTP parsing library (http-parser; llhttp later). It is given a
 * complete head, and the bytes of chunked bodies as they come.
 */
#ifndef MUSTER_HTTPD_CORE_PARSER_H
#define MUSTER_HTTPD_CORE_PARSER_H

#include "httpd/core/request.h"

/*
 * Fills what stands in the head: method, target, headers, content_length, chunked, keep_alive,
 * http_1_0. 0; ST_INVALID with a reason in *why_out ("" or Go's words); ST_TOO_LARGE over
 * REQUEST_HEADERS_MAX.
 */
int parser_head(struct str head, struct arena *arena, struct request *out, struct str *why_out);

/* Length of the head at the front of bytes, its empty line included; 0: incomplete. scanned: how
 * far earlier calls looked. */
size_t parser_head_end(struct str bytes, size_t *scanned);

struct parser_chunks {
	void *parser[6];
};
void parser_chunks_init(struct parser_chunks *c);
/* Decodes what is there into out. *used_out: bytes taken; *done_out: the last chunk and the
 * trailers have passed. ST_INVALID. */
int parser_chunks_feed(struct parser_chunks *c, struct str bytes, struct buf *out, size_t *used_out,
	bool *done_out);

#endif
