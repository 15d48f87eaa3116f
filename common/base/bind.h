/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binding JSON to C structs by table: one row per field. Keys match without regard to ASCII case
 * (as Go's decoder), unknown keys are errors, and the error texts are Go's: json: unknown field
 * "Bogus" json: cannot unmarshal number into Go struct field RegisterRequest.Node of type string
 * Strings in the result are borrowed from the JSON tree (its arena). JSON null leaves a field as it
 * is.
 */
#ifndef MUSTER_COMMON_BASE_BIND_H
#define MUSTER_COMMON_BASE_BIND_H

#include "common/base/json.h"

enum bind_type {
	BIND_STR,      /* struct str */
	BIND_BOOL,     /* bool */
	BIND_INT,      /* int64_t */
	BIND_U64,      /* uint64_t */
	BIND_DURATION, /* int64_t ns: a string in Go syntax or a number of nanoseconds */
	BIND_STRS,     /* struct strs: array of strings */
	BIND_PAIRS,    /* struct pairs: object of strings, sorted by key */
	BIND_MULTI,    /* struct json *: object of arrays of strings, checked, kept as tree */
	BIND_BASE64,   /* struct str: decoded bytes in the arena */
	BIND_OBJECT,   /* struct embedded at offset, rows in .object */
	BIND_POINTER,  /* pointer to a struct made in the arena; NULL when absent */
	BIND_OBJECTS,  /* struct bind_list: array of structs made in the arena */
	BIND_JSON,     /* const struct json *: any value, unchecked */
};

struct strs {
	struct str *items;
	uint32_t count;
	bool present; /* distinguishes [] from absent */
};

struct pair {
	struct str key, value;
};

struct pairs {
	struct pair *items;
	uint32_t count;
	bool present;
};

struct bind_list {
	void *items; /* contiguous structs */
	uint32_t count;
	bool present;
};

struct bind_object;

struct bind_field {
	const char *name; /* several rows may bind one field under several names */
	enum bind_type type;
	uint32_t offset;
	const struct bind_object *object;
	const char *go_type; /* for messages; by default what the type suggests */
};

struct bind_object {
	const char *go_name;
	const char *go_value; /* the whole value's type in messages, where it is not go_name */
	uint32_t size;
	const struct bind_field *fields;
	uint32_t fields_count;
	bool ignore_unknown;
	bool exact_case; /* configuration files: keys as they are written in the reference */
};

#define BIND_FIELDS(array) .fields = (array), .fields_count = ARRAY_SIZE(array)

/*
 * Fills *out (already holding the defaults) from v. ST_INVALID with the text in *why. A JSON null
 * or an absent value binds nothing.
 */
int bind_object(const struct bind_object *object, const struct json *v, struct arena *arena,
	void *out, struct buf *why);

bool strs_has(const struct strs *list, struct str s);
/* As a JSON array or object; nulls: null where it is absent. */
void strs_render(struct jsonw *w, struct strs v, bool nulls);
void pairs_render(struct jsonw *w, struct pairs v, bool nulls);
struct str pairs_find(const struct pairs *pairs, struct str key); /* value or STR_NONE (p NULL) */
void pairs_sort(struct pairs *pairs);

#endif
