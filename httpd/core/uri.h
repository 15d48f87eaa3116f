/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths and query strings as Go's net/url and ServeMux treat them: percent decoding, path cleaning,
 * query parsing, encoding for redirects.
 */
#ifndef MUSTER_HTTPD_CORE_URI_H
#define MUSTER_HTTPD_CORE_URI_H

#include "httpd/core/request.h"

/* Percent-decodes; plus: '+' is a space. Borrowed from s when there is nothing to decode.
 * ST_INVALID: a '%' without two hex digits. */
int uri_decode(struct str s, bool plus, struct arena *arena, struct str *out);

/* "//", "/./" and "/../" taken out, one leading '/', a trailing one kept. Borrowed from path when
 * it is clean already. */
struct str uri_clean(struct str path, struct arena *arena);

/* Does Go's unicode.IsPrint hold for every character? (Bytes that are not UTF-8 do: they are U+FFFD
 * there.) */
bool uri_printable(struct str path);

/* Fills params of r from r->raw_query; sets params_malformed. ST_TOO_LARGE over REQUEST_PARAMS_MAX.
 */
int uri_parse_query(struct request *r, struct arena *arena);

/* A path percent-encoded again for a Location header. */
void uri_encode_path(struct str path, struct buf *out);
/* A query value (or name) as Go's QueryEscape: space is '+'. */
void uri_encode_query(struct str s, struct buf *out);

#endif
