/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing and showing of flags.
 */
#include "ctl/flags.h"

#include "common/base/err.h"

enum { WRAP_COLUMNS = 70 };

void flag_add(struct flagset *f, const char *name, enum flag_kind kind, void *to, const char *usage)
{
	must(f->count < FLAGS_MAX);
	f->rows[f->count++] = (struct flag) { name, kind, to, usage, false };
}

void flags_end_own(struct flagset *f)
{
	f->own_count = f->count;
}

static struct flag *flag_find(struct flagset *f, struct str name)
{
	for (size_t i = 0; i < f->count; i++) {
		if (str_is(name, f->rows[i].name)) {
			return &f->rows[i];
		}
	}
	return NULL;
}

bool flag_given(const struct flagset *f, const char *name)
{
	const struct flag *flag = flag_find((struct flagset *)f, str_of(name));

	return flag && flag->given;
}

static int value_refuse(const struct flag *f, struct str value, const char *reason, struct buf *why)
{
	buf_printf(why, "invalid %s \"" STR_FMT "\" for %s-%s: %s",
		f->kind == FLAG_BOOL ? "boolean value" : "value", STR_ARG(value),
		f->kind == FLAG_BOOL ? "" : "flag ", f->name, reason);
	return -ST_INVALID;
}

static int value_set(struct flag *f, const char *text, struct buf *why)
{
	struct str value = str_of(text);
	struct flag_list *list = f->to;
	int r = 0;

	switch (f->kind) {
	case FLAG_BOOL:
		r = str_to_bool(value, f->to);
		break;
	case FLAG_TEXT:
		*(const char **)f->to = text;
		break;
	case FLAG_INT:
		r = str_to_i64(value, f->to);
		break;
	case FLAG_UINT:
		r = str_to_u64(value, f->to);
		break;
	case FLAG_DURATION:
		r = duration_parse(value, f->to, NULL);
		break;
	case FLAG_TEXTS:
		if (list->count == FLAG_LIST_MAX) {
			return value_refuse(f, value, "given too often", why);
		}
		list->flags[list->count] = f->name;
		list->items[list->count++] = text;
		break;
	}
	f->given = true;
	return r ? value_refuse(f, value, "parse error", why) : 0;
}

/* One flag word (and perhaps the value behind it). *at moves to the next word. */
static int flag_take(struct flagset *f, int argc, char **argv, int *at, struct buf *why)
{
	struct str word = str_of(argv[*at]), rest = STR_NONE, name;
	struct flag *flag;

	word = str_skip(word, str_starts(word, STR("--")) ? 2 : 1);
	if (word.n == 0 || word.p[0] == '-' || word.p[0] == '=') {
		buf_printf(why, "bad flag syntax: %s", argv[*at]);
		return -ST_INVALID;
	}
	name = str_split(word, '=', &rest);
	flag = flag_find(f, name);
	(*at)++;
	if (!flag) {
		if (str_is(name, "h") || str_is(name, "help")) {
			return -ST_NOT_FOUND;
		}
		buf_printf(why, "flag provided but not defined: -" STR_FMT, STR_ARG(name));
		return -ST_INVALID;
	}
	if (rest.p) {
		return value_set(flag, rest.p, why);
	}
	if (flag->kind == FLAG_BOOL) {
		return value_set(flag, "true", why);
	}
	if (*at == argc) {
		buf_printf(why, "flag needs an argument: -%s", flag->name);
		return -ST_INVALID;
	}
	return value_set(flag, argv[(*at)++], why);
}

int flags_parse(struct flagset *f, int argc, char **argv, struct buf *why)
{
	int at = 0;

	while (at < argc && argv[at][0] == '-' && argv[at][1]) {
		int r;

		if (strcmp(argv[at], "--") == 0) {
			return at + 1;
		}
		r = flag_take(f, argc, argv, &at, why);
		if (r) {
			return r;
		}
	}
	return at;
}

static void wrapped_render(struct buf *out, const char *text)
{
	struct str rest = str_of(text);
	size_t column = 0;

	while (rest.p) {
		struct str word = str_split(rest, ' ', &rest);

		if (column && column + 1 + word.n > WRAP_COLUMNS) {
			column = 0;
		}
		buf_put_cstr(out, column ? " " : text == word.p ? "     " : "\n     ");
		buf_put_str(out, word);
		column += word.n + 1;
	}
	buf_put_cstr(out, "\n\n");
}

static int row_order(const void *a, const void *b)
{
	return strcmp(((const struct flag *)a)->name, ((const struct flag *)b)->name);
}

static void section_render(
	struct buf *out, const char *title, const struct flag *rows, size_t count)
{
	struct flag sorted[FLAGS_MAX];

	if (count == 0) {
		return;
	}
	memcpy(sorted, rows, count * sizeof(*rows));
	qsort(sorted, count, sizeof(*sorted), row_order);
	buf_printf(out, "%s\n\n", title);
	for (size_t i = 0; i < count; i++) {
		buf_printf(out, "  -%s%s\n", sorted[i].name,
			sorted[i].kind == FLAG_BOOL ? "" : "=<value>");
		wrapped_render(out, sorted[i].usage);
	}
}

void flags_render(const struct flagset *f, struct buf *out)
{
	section_render(out, "HTTP API Options", f->rows + f->own_count, f->count - f->own_count);
	section_render(out, "Command Options", f->rows, f->own_count);
}
