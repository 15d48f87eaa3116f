/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of filter expressions, one function per rule:
 *
 *     Input    := _? Or _? EOF
 *     Or       := And ( _ "or" _ Or )?
 *     And      := Not ( _ "and" _ And )?
 *     Not      := "not" _ Not | Grouping
 *     Grouping := "(" _? Or _? ")" | Match
 *     Match    := Selector Op Value | Selector EmptyOp | Value InOp Selector
 *
 * It is a PEG: alternatives are tried in order and give back what they read. As users know Consul's
 * messages, the expectations at the farthest position are collected as its parser does
 * (filter_lex.c).
 */
#include "common/base/err.h"
#include "httpd/core/filter_lex.h"

/* ---- selectors and values ---- */

static bool identifier(struct filter_parser *p, struct str *out)
{
	size_t start = p->at;

	if (!lex_one(p, CLASS_LETTER)) {
		return false;
	}
	lex_some(p, CLASS_WORD);
	*out = str_n(p->in.p + start, p->at - start);
	return true;
}

static bool index_expression(struct filter_parser *p, struct str *out)
{
	size_t start = p->at;

	if (!LITERAL(p, "[")) {
		return false;
	}
	lex_space(p);
	if (!lex_string(p, out)) {
		lex_error(p, p->at, "rule \"index\": ", "Invalid index");
		p->at = start;
		return false;
	}
	lex_space(p);
	if (!LITERAL(p, "]")) {
		lex_error(p, p->at, "rule \"index\": ", "Unclosed index expression");
		p->at = start;
		return false;
	}
	return true;
}

struct selector {
	struct str parts[FILTER_SELECTOR_MAX];
	int count;
};

static bool selector_rest(struct filter_parser *p, struct str *out)
{
	size_t start = p->at;

	if (LITERAL(p, ".")) {
		if (identifier(p, out)) {
			return true;
		}
		p->at = start;
	}
	return index_expression(p, out);
}

static bool selector(struct filter_parser *p, struct selector *out)
{
	out->count = 1;
	if (!identifier(p, &out->parts[0])) {
		return false;
	}
	while (out->count < FILTER_SELECTOR_MAX && selector_rest(p, &out->parts[out->count])) {
		out->count++;
	}
	return true;
}

static bool value(struct filter_parser *p, struct str *out)
{
	OWN_EMBEDDED(buf_fini) struct buf joined = { 0 };
	struct selector s;

	if (!selector(p, &s)) {
		return lex_number(p, out) || lex_string(p, out);
	}
	for (int i = 0; i < s.count; i++) {
		buf_put_cstr(&joined, i ? "." : "");
		buf_put_str(&joined, s.parts[i]);
	}
	*out = arena_str(&p->filter->arena, buf_str(&joined));
	return true;
}

/* ---- comparisons ---- */

static bool words(struct filter_parser *p, const char *first, const char *first_want,
	const char *second, const char *second_want)
{
	size_t start = p->at;

	if (lex_space(p) && lex_literal(p, first, first_want) && lex_space(p) &&
		(!second || (lex_literal(p, second, second_want) && lex_space(p)))) {
		return true;
	}
	p->at = start;
	return false;
}

#define WORD(p, a)     words((p), a, "\"" a "\"", NULL, NULL)
#define WORDS(p, a, b) words((p), a, "\"" a "\"", b, "\"" b "\"")

static bool sign(struct filter_parser *p, const char *text, const char *want)
{
	size_t start = p->at;

	lex_space(p);
	if (!lex_literal(p, text, want)) {
		p->at = start;
		return false;
	}
	lex_space(p);
	return true;
}

static bool value_operator(struct filter_parser *p, enum filter_op *out)
{
	if (sign(p, "==", "\"==\"")) {
		*out = FILTER_EQUAL;
	} else if (sign(p, "!=", "\"!=\"")) {
		*out = FILTER_NOT_EQUAL;
	} else if (WORD(p, "contains")) {
		*out = FILTER_IN;
	} else if (WORDS(p, "not", "contains")) {
		*out = FILTER_NOT_IN;
	} else if (WORD(p, "matches")) {
		*out = FILTER_MATCHES;
	} else if (WORDS(p, "not", "matches")) {
		*out = FILTER_NOT_MATCHES;
	} else {
		return false;
	}
	return true;
}

static bool empty_operator(struct filter_parser *p, enum filter_op *out)
{
	size_t start = p->at;

	*out = FILTER_IS_EMPTY;
	if (lex_space(p) && LITERAL(p, "is") && lex_space(p) && LITERAL(p, "empty")) {
		return true;
	}
	p->at = start;
	*out = FILTER_IS_NOT_EMPTY;
	if (lex_space(p) && LITERAL(p, "is") && lex_space(p) && LITERAL(p, "not") && lex_space(p) &&
		LITERAL(p, "empty")) {
		return true;
	}
	p->at = start;
	return false;
}

static bool in_operator(struct filter_parser *p, enum filter_op *out)
{
	if (WORD(p, "in")) {
		*out = FILTER_IN;
	} else if (WORDS(p, "not", "in")) {
		*out = FILTER_NOT_IN;
	} else {
		return false;
	}
	return true;
}

static struct filter_node *compare_new(
	struct filter_parser *p, enum filter_op op, const struct selector *s, struct str v)
{
	struct filter_node *n = arena_new(&p->filter->arena, struct filter_node);

	n->kind = FILTER_COMPARE;
	n->op = op;
	memcpy(n->selector, s->parts, sizeof(s->parts[0]) * (size_t)s->count);
	n->selector_count = s->count;
	n->value = v;
	return n;
}

static struct filter_node *match(struct filter_parser *p)
{
	size_t start = p->at;
	struct selector s;
	enum filter_op op;
	struct str v;

	if (selector(p, &s) && value_operator(p, &op) && value(p, &v)) {
		return compare_new(p, op, &s, v);
	}
	p->at = start;
	if (selector(p, &s) && empty_operator(p, &op)) {
		return compare_new(p, op, &s, STR_NONE);
	}
	p->at = start;
	if (value(p, &v) && in_operator(p, &op)) {
		if (selector(p, &s)) {
			return compare_new(p, op, &s, v);
		}
		lex_error(p, p->at, "rule \"match\": ", "Invalid selector");
	}
	p->at = start;
	return NULL;
}

/* ---- the boolean part ---- */

static struct filter_node *or_expression(struct filter_parser *p);

static bool enter(struct filter_parser *p)
{
	if (p->depth == FILTER_DEPTH_MAX) {
		lex_error(p, p->at, "", "nested too deeply");
		return false;
	}
	p->depth++;
	return true;
}

/* What stands behind an opening parenthesis. *unclosed_out: where the closing one was missing, or
 * 0. */
static struct filter_node *grouped(struct filter_parser *p, size_t *unclosed_out)
{
	struct filter_node *n = NULL;

	*unclosed_out = 0;
	lex_space(p);
	if (enter(p)) {
		n = or_expression(p);
		p->depth--;
	}
	if (n) {
		lex_space(p);
		if (!LITERAL(p, ")")) {
			*unclosed_out = p->at;
			n = NULL;
		}
	}
	return n;
}

static struct filter_node *grouping(struct filter_parser *p)
{
	size_t start = p->at, unclosed = 0;
	struct filter_node *n;

	if (LITERAL(p, "(")) {
		n = grouped(p, &unclosed);
		if (n) {
			return n;
		}
	}
	p->at = start;
	n = match(p);
	if (!n && unclosed) {
		lex_error(p, unclosed, "rule \"grouping\": ", "Unmatched parentheses");
	}
	return n;
}

static struct filter_node *join(struct filter_parser *p, enum filter_kind kind,
	struct filter_node *left, struct filter_node *right)
{
	struct filter_node *n = arena_new(&p->filter->arena, struct filter_node);

	n->kind = kind;
	n->left = left;
	n->right = right;
	return n;
}

static struct filter_node *not_expression(struct filter_parser *p)
{
	size_t start = p->at;

	if (LITERAL(p, "not") && lex_space(p) && enter(p)) {
		struct filter_node *n = not_expression(p);

		p->depth--;
		if (n) {
			return n->kind == FILTER_NOT ? n->left : join(p, FILTER_NOT, n, NULL);
		}
	}
	p->at = start;
	return grouping(p);
}

static struct filter_node *and_expression(struct filter_parser *p)
{
	struct filter_node *left = not_expression(p);
	size_t end = p->at;

	if (left && WORD(p, "and")) {
		struct filter_node *right = and_expression(p);

		if (right) {
			return join(p, FILTER_AND, left, right);
		}
	}
	p->at = left ? end : p->at;
	return left;
}

static struct filter_node *or_expression(struct filter_parser *p)
{
	struct filter_node *left = and_expression(p);
	size_t end = p->at;

	if (left && WORD(p, "or")) {
		struct filter_node *right = or_expression(p);

		if (right) {
			return join(p, FILTER_OR, left, right);
		}
	}
	p->at = left ? end : p->at;
	return left;
}

/* All comparisons, for whoever checks them. */
static void compares_collect(struct filter *f, struct filter_node *n)
{
	if (n->kind == FILTER_COMPARE) {
		n->next_compare = f->compares;
		f->compares = n;
		return;
	}
	/* right first: the list is newest first, and errors are told from left to right */
	if (n->right) {
		compares_collect(f, n->right);
	}
	compares_collect(f, n->left);
}

static bool skip_to_end(struct filter_parser *p)
{
	lex_space(p);
	return lex_end(p);
}

int filter_parse(struct filter *f, struct str expression, struct buf *why)
{
	struct filter_parser p = { .in = expression, .filter = f };
	bool complete;

	if (!utf8_valid(expression)) {
		buf_put_cstr(why, "1:1 (0): invalid encoding");
		return ST_INVALID;
	}
	lex_space(&p);
	f->root = or_expression(&p);
	complete = f->root && skip_to_end(&p);
	if (!complete || p.errors_count) {
		lex_explain(&p, why);
		return ST_INVALID;
	}
	compares_collect(f, f->root);
	return 0;
}
