/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lower half of the filter grammar (private to filter*.c): terminals, strings, numbers, and the
 * book-keeping of what was expected where, from which syntax errors are told. Each function reads
 * at p->at and gives back what it read when it does not match.
 */
#ifndef MUSTER_HTTPD_CORE_FILTER_LEX_H
#define MUSTER_HTTPD_CORE_FILTER_LEX_H

#include "httpd/core/filter_tree.h"

enum { WANTS_MAX = 32, ERRORS_MAX = 8 };

struct want {
	const char *text;
	bool inverted; /* wanted it absent */
};

struct filter_parser {
	struct str in;
	size_t at;
	int depth;
	struct filter *filter;
	bool inverted;
	size_t want_at;
	struct want wants[WANTS_MAX];
	int wants_count;
	struct str errors[ERRORS_MAX];
	int errors_count;
};

enum lex_class { CLASS_SPACE, CLASS_LETTER, CLASS_WORD, CLASS_DIGIT, CLASS_DIGIT_NOT_ZERO };

/* A terminal; want: how messages name it (LITERAL quotes it). */
bool lex_literal(struct filter_parser *p, const char *text, const char *want);
#define LITERAL(p, text) lex_literal((p), text, "\"" text "\"")
bool lex_one(struct filter_parser *p, enum lex_class c);
bool lex_some(struct filter_parser *p, enum lex_class c);
bool lex_space(struct filter_parser *p); /* at least one */
bool lex_end(struct filter_parser *p);
bool lex_string(struct filter_parser *p, struct str *out);
bool lex_number(struct filter_parser *p, struct str *out);

/* rule: "" or `rule "name": ` */
void lex_error(struct filter_parser *p, size_t offset, const char *rule, const char *text);
/* All errors, or what was expected at the farthest position. */
void lex_explain(struct filter_parser *p, struct buf *why);

#endif
