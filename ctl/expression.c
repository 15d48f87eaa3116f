/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions of flags.
 */
#include "ctl/expression.h"

#include "common/base/err.h"

int regex_open(regex_t *out, const char *text, struct buf *why)
{
	static const struct {
		int code;
		const char *words;
	} rows[] = {
		{ REG_EPAREN, "missing closing )" },
		{ REG_EBRACK, "missing closing ]" },
		{ REG_BADRPT, "missing argument to repetition operator" },
		{ REG_EESCAPE, "trailing backslash at end of expression" },
		{ REG_ERANGE, "invalid character class range" },
	};
	int r = regcomp(out, text, REG_EXTENDED | REG_NOSUB);
	const char *words = "invalid expression";

	if (r == 0) {
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		words = rows[i].code == r ? rows[i].words : words;
	}
	buf_printf(why, "error parsing regexp: %s: `%s`", words, text);
	return ST_INVALID;
}
