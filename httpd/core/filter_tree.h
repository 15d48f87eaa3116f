/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of a filter expression (private to filter*.c). Everything lives in one arena.
 */
#ifndef MUSTER_HTTPD_CORE_FILTER_TREE_H
#define MUSTER_HTTPD_CORE_FILTER_TREE_H

#include "httpd/core/filter.h"
#include "common/base/regex.h"

enum filter_op {
	FILTER_EQUAL,
	FILTER_NOT_EQUAL,
	FILTER_IN,
	FILTER_NOT_IN,
	FILTER_IS_EMPTY,
	FILTER_IS_NOT_EMPTY,
	FILTER_MATCHES,
	FILTER_NOT_MATCHES,
	FILTER_OPS_COUNT
};

enum filter_kind { FILTER_OR, FILTER_AND, FILTER_NOT, FILTER_COMPARE };

struct filter_node {
	enum filter_kind kind;
	struct filter_node *left, *right; /* FILTER_NOT: left alone */
	/* FILTER_COMPARE */
	enum filter_op op;
	struct str selector[FILTER_SELECTOR_MAX];
	int selector_count;
	struct str value;
	int64_t number; /* value, coerced for the selector's type */
	bool boolean;
	struct regex *regex;
	const struct filter_field
		*path[FILTER_SELECTOR_MAX]; /* the field that each part of the selector names */
	struct filter_node *next_compare;   /* all comparisons, newest first */
};

struct filter {
	struct arena arena;
	struct filter_node *root;
	struct filter_node *compares;
};

/* Types of what a selector can name. */
enum filter_type {
	FILTER_STRING,
	FILTER_INT,
	FILTER_BOOL,
	FILTER_STRINGS, /* list of strings */
	FILTER_MAP,	/* of strings */
	FILTER_MAP_OF,	/* of objects */
	FILTER_STRUCT,
	FILTER_LIST_OF, /* list of objects: selecting inside means any element */
};

struct filter_fields {
	const struct filter_field *rows;
	int count;
};

struct filter_field {
	const char *name;
	enum filter_type type;
	const struct filter_fields *below;
};

extern const struct filter_fields *const filter_objects[FILTER_OBJECTS_COUNT];
extern const struct filter_field filter_map_value; /* what Map.key names */

/* Parses into f (arena and compares are filled). ST_INVALID with the syntax errors in *why. */
int filter_parse(struct filter *f, struct str expression, struct buf *why);

#endif
