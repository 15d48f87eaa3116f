/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCRE2 behind the words of Go's regexp. The differences that matter: what RE2 lacks is refused,
 * and `$` means the very end.
 */
#include "common/base/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "common/base/err.h"
#include "common/base/std.h"

struct regex {
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *context;
};

static int refuse(struct buf *why, const char *text, struct str where)
{
	buf_printf(why, "error parsing regexp: %s: `" STR_FMT "`", text, STR_ARG(where));
	return ST_INVALID;
}

/* Groups that RE2 does not know: (?= (?! (?<= (?<! (?> (?| (?# (?& (?( (?R (?1 (?+ (?C. */
static int group_check(struct str p, size_t at, struct buf *why)
{
	size_t n = p.n - at;

	if (n < 3 || p.p[at + 1] == '*' || p.p[at + 1] != '?') {
		return n >= 2 && p.p[at + 1] == '*'
			       ? refuse(why, "missing argument to repetition operator", STR("*"))
			       : 0;
	}
	if (p.p[at + 2] == 'P' && n > 3 && p.p[at + 3] == '<') {
		ssize_t end = str_find(str_skip(p, at), '>');

		return end < 0 ? refuse(why, "invalid named capture", str_skip(p, at)) : 0;
	}
	if (p.p[at + 2] == ':' || strchr("imsU-^", p.p[at + 2])) {
		return p.p[at + 2] == '^' ? refuse(why, "invalid or unsupported Perl syntax",
						    str_cut(str_skip(p, at), 3))
					  : 0;
	}
	return refuse(why, "invalid or unsupported Perl syntax",
		str_cut(str_skip(p, at), p.p[at + 2] == '<' ? 4 : 3));
}

/* {n}, {n,}, {n,m}: RE2 wants n <= m <= 1000. at stands on the brace. */
static int repeat_check(struct str p, size_t at, struct buf *why)
{
	ssize_t end = str_find(str_skip(p, at), '}');
	struct str inside, high;
	uint64_t low_count, high_count = 0;

	if (end < 0) {
		return 0;
	}
	inside = str_cut(str_skip(p, at + 1), (size_t)end - 1);
	if (str_to_u64(str_split(inside, ',', &high), &low_count)) {
		return 0;
	}
	if (high.p && high.n && str_to_u64(high, &high_count)) {
		return 0;
	}
	if (low_count > 1000 || high_count > 1000 || (high.p && high.n && low_count > high_count)) {
		return refuse(
			why, "invalid repeat count", str_cut(str_skip(p, at), (size_t)end + 1));
	}
	return 0;
}

static int escape_check(struct str p, size_t at, struct buf *why)
{
	char c = at + 1 < p.n ? p.p[at + 1] : 'n';

	/* back references, and what Perl has beyond RE2 */
	if ((c >= '1' && c <= '9') || strchr("ghkGKRXNHVZceluLE", c)) {
		return refuse(why, "invalid escape sequence", str_cut(str_skip(p, at), 2));
	}
	return 0;
}

/* What PCRE2 would accept and RE2 does not. */
static int dialect_check(struct str p, struct buf *why)
{
	bool in_class = false, quantified = false;

	for (size_t i = 0; i < p.n; i++) {
		char c = p.p[i];
		int r = 0;

		if (c == '\\') {
			r = in_class ? 0 : escape_check(p, i, why);
			i++;
		} else if (in_class) {
			in_class = c != ']' || p.p[i - 1] == '[';
		} else if (c == '[') {
			in_class = true;
		} else if (c == '(') {
			r = group_check(p, i, why);
		} else if (c == '{') {
			r = repeat_check(p, i, why);
		} else if (quantified && (c == '*' || c == '+')) {
			r = refuse(why, "invalid nested repetition operator",
				str_cut(str_skip(p, i - 1), 2));
		}
		quantified = c == '*' || c == '+' ||
			     (c == '?' && i > 0 && p.p[i - 1] != '(' && !quantified);
		if (r) {
			return r;
		}
	}
	return 0;
}

/* PCRE2's reasons in Go's words. */
static int explain(struct str p, int code, size_t at, struct buf *why)
{
	char text[128];

	switch (code) {
	case PCRE2_ERROR_MISSING_CLOSING_PARENTHESIS:
		return refuse(why, "missing closing )", p);
	case PCRE2_ERROR_UNMATCHED_CLOSING_PARENTHESIS:
		return refuse(why, "unexpected )", p);
	case PCRE2_ERROR_MISSING_SQUARE_BRACKET: {
		ssize_t open = str_rfind(p, '[');

		return refuse(why, "missing closing ]", open < 0 ? p : str_skip(p, (size_t)open));
	}
	case PCRE2_ERROR_QUANTIFIER_INVALID:
		return refuse(why, "missing argument to repetition operator",
			at ? str_cut(str_skip(p, at - 1), 1) : p);
	case PCRE2_ERROR_END_BACKSLASH:
		return refuse(why, "trailing backslash at end of expression", STR_NONE);
	case PCRE2_ERROR_CLASS_RANGE_ORDER:
		return refuse(why, "invalid character class range",
			at >= 2 ? str_cut(str_skip(p, at - 2), 3) : p);
	}
	if (pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof(text)) < 0) {
		text[0] = '\0';
	}
	return refuse(why, text, p);
}

int regex_new(struct str pattern, struct regex **out, struct buf *why)
{
	uint32_t options = PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
	OWN(regex_free) struct regex *r = xcalloc(1, sizeof(*r));
	int code;
	size_t at;

	if (dialect_check(pattern, why)) {
		return ST_INVALID;
	}
	r->code = pcre2_compile(
		(PCRE2_SPTR)(pattern.p ? pattern.p : ""), pattern.n, options, &code, &at, NULL);
	if (!r->code) {
		return explain(pattern, code, at, why);
	}
	r->data = pcre2_match_data_create(1, NULL);
	r->context = pcre2_match_context_create(NULL);
	must(r->data && r->context);
	pcre2_set_match_limit(r->context, REGEX_MATCH_STEPS_MAX);
	pcre2_set_heap_limit(r->context, REGEX_HEAP_KIB_MAX);
	*out = take(r);
	return 0;
}

void regex_free(struct regex *r)
{
	pcre2_match_context_free(r->context);
	pcre2_match_data_free(r->data);
	pcre2_code_free(r->code);
	free(r);
}

bool regex_match(const struct regex *r, struct str text)
{
	/* 0: more groups than data has room for, which is a match too */
	return pcre2_match(r->code, (PCRE2_SPTR)(text.p ? text.p : ""), text.n, 0, 0, r->data,
		       r->context) >= 0;
}

size_t regex_groups(
	const struct regex *r, struct str text, struct arena *arena, struct str **groups_out)
{
	pcre2_match_data *data = pcre2_match_data_create_from_pattern(r->code, NULL);
	const char *from = text.p ? text.p : "";
	const PCRE2_SIZE *ends;
	uint32_t count;
	int matched;

	must(data);
	matched = pcre2_match(r->code, (PCRE2_SPTR)from, text.n, 0, 0, data, r->context);
	count = matched > 0 ? pcre2_get_ovector_count(data) : 0;
	ends = pcre2_get_ovector_pointer(data);
	*groups_out = arena_array(arena, struct str, count);
	for (uint32_t i = 0; i < count; i++) {
		/* those behind the last that took part were never set */
		bool set = i < (uint32_t)matched && ends[(size_t)2 * i] != PCRE2_UNSET;

		(*groups_out)[i] = set ? str_n(from + ends[(size_t)2 * i],
						 ends[(size_t)2 * i + 1] - ends[(size_t)2 * i])
				       : STR("");
	}
	pcre2_match_data_free(data);
	return count;
}
