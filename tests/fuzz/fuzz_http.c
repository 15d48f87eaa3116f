/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What httpd does with a client's bytes before a handler sees them: the end of the head, the
 * parser, the query, path cleaning, the route; then the chunked body. The first byte says how the
 * input is cut into pieces.
 */
#include "httpd/core/answer.h"
#include "httpd/core/parser.h"
#include "httpd/core/route.h"
#include "httpd/core/uri.h"
#include "tests/fuzz/fuzz.h"

static const struct route routes[] = {
#define ROUTE(method, path, handler, flags) \
	{ METHOD_##method, { path, sizeof(path) - 1 }, NULL, flags },
#include "httpd/routes.def"
#undef ROUTE
};

static void read_request(const struct request *r, struct arena *arena)
{
	OWN_EMBEDDED(route_table_fini) struct route_table table;
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	struct route_match m;
	struct str clean;

	route_table_init(&table, routes, ARRAY_SIZE(routes));
	clean = uri_clean(r->path, arena);
	must(str_eq(uri_clean(clean, arena), clean));
	m = route_find(&table, r->path);
	if (m.rows) {
		route_render_allow(&m, &out);
	}
	request_token(r);
	request_accepts_gzip(r);
	uri_encode_path(clean, &out);
}

static void read_body(struct str bytes, size_t piece)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	struct parser_chunks chunks;
	size_t used;
	bool done = false;

	parser_chunks_init(&chunks);
	while (bytes.n && !done) {
		struct str part = str_cut(bytes, piece);

		if (parser_chunks_feed(&chunks, part, &out, &used, &done)) {
			return;
		}
		must(used <= part.n && (used || done));
		bytes = str_skip(bytes, used);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	size_t piece = size ? data[0] + 1u : 1, scanned = 0, end = 0, have = 0;
	struct str bytes = str_skip(str_n(data, size), 1), why;
	struct request r;

	while (!end && have < bytes.n) {
		have = min_of(have + piece, bytes.n);
		end = parser_head_end(str_cut(bytes, have), &scanned);
	}
	if (!end) {
		return 0;
	}
	if (request_parse(arena_str(&arena, str_cut(bytes, end)), &arena, &r, &why) == 0) {
		read_request(&r, &arena);
	}
	read_body(str_skip(bytes, end), piece);
	return 0;
}
