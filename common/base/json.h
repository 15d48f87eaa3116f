/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON. Reading: json_parse builds a tree of struct json in an arena (yajl does the lexing).
 * Writing: struct jsonw appends to a buf what Go's encoder would write (< > & U+2028 U+2029
 * escaped, invalid UTF-8 replaced by U+FFFD), because Consul's clients compare bytes. json_indent
 * makes the ?pretty form of compact JSON.
 */
#ifndef MUSTER_COMMON_BASE_JSON_H
#define MUSTER_COMMON_BASE_JSON_H

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/str.h"

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
	enum json_type type;
	bool boolean;
	uint32_t count;	 /* members or elements */
	uint32_t offset; /* in the input, behind its first token: for messages that name a line */
	struct str key;	 /* inside an object */
	struct str text; /* string: decoded; number: as written */
	struct json *first; /* members or elements in order */
	struct json *next;
};

enum { JSON_DEPTH_MAX = 64 };

#define json_for_each(item, parent) for (item = (parent)->first; item; item = item->next)

/*
 * Parses exactly one value; the tree and its strings live in the arena (input is not kept).
 * ST_INVALID otherwise, with Go's encoding/json text appended to *why (may be NULL): EOF,
 * unexpected EOF, invalid character 'x' looking for beginning of value ... Nesting deeper than
 * JSON_DEPTH_MAX is ST_INVALID too.
 */
int json_parse(struct arena *arena, struct str input, struct json **out, struct buf *why);
/* The same, but what follows the first value is not looked at (as Go's Decoder reads request
 * bodies). */
int json_parse_first(struct arena *arena, struct str input, struct json **out, struct buf *why);

const struct json *json_find(
	const struct json *object, const char *key); /* exact; NULL when absent or no object */
const struct json *json_find_fold(const struct json *object,
	const char *key); /* ASCII case ignored, last one wins as in Go */
struct str json_find_text(
	const struct json *object, const char *key); /* string member or STR_NONE */
const char *json_go_type(const struct json *v); /* "string" "number" "bool" "array" "object": as Go
						   names JSON kinds in errors */

struct jsonw {
	struct buf *out;
	bool comma;
};

static inline struct jsonw jsonw_of(struct buf *out)
{
	return (struct jsonw) { out, false };
}

void jsonw_open(struct jsonw *w, char bracket);	 /* '{' or '[' */
void jsonw_close(struct jsonw *w, char bracket); /* '}' or ']' */
void jsonw_key(struct jsonw *w, struct str key);
#define jsonw_keyc(w, literal) jsonw_key((w), STR(literal))
void jsonw_str(struct jsonw *w, struct str s);
void jsonw_cstr(struct jsonw *w, const char *s);
void jsonw_u64(struct jsonw *w, uint64_t v);
void jsonw_i64(struct jsonw *w, int64_t v);
void jsonw_double(struct jsonw *w, double v); /* shortest form that reads back, as Go */
void jsonw_bool(struct jsonw *w, bool v);
void jsonw_null(struct jsonw *w);
void jsonw_base64(struct jsonw *w, struct str bytes); /* null when empty, as Go's []byte(nil) */
void jsonw_raw(struct jsonw *w, struct str json);     /* one ready value */
/* A member of an object: its key and its value. */
#define JSONW_MEMBER(kind, type)                                                      \
	static inline void jsonw_put_##kind(struct jsonw *w, const char *key, type v) \
	{                                                                             \
		jsonw_key(w, str_of(key));                                            \
		jsonw_##kind(w, v);                                                   \
	}
JSONW_MEMBER(str, struct str)
JSONW_MEMBER(cstr, const char *)
JSONW_MEMBER(u64, uint64_t)
JSONW_MEMBER(i64, int64_t)
JSONW_MEMBER(bool, bool)
#undef JSONW_MEMBER

void json_put_string(struct buf *out, struct str s); /* quoted and escaped */

/* Appends compact JSON indented by `indent` per level, ": " after keys, empty containers closed at
 * once, as Go's Indent. No newline behind. */
void json_indent(struct buf *out, struct str compact, struct str indent);

/* Appends a parsed tree as compact JSON. */
void json_render(struct buf *out, const struct json *v);

#endif
