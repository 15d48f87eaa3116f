/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Columns of text.
 */
#include "ctl/table.h"

void table_init(struct table *t, size_t columns_count)
{
	must(columns_count <= TABLE_COLUMNS_MAX);
	*t = (struct table) { .columns_count = columns_count };
}

void table_fini(struct table *t)
{
	arena_fini(&t->arena);
	free(t->cells);
}

void table_row(struct table *t, const char *const *cells)
{
	if (t->rows_count == t->rows_size) {
		t->rows_size = t->rows_size ? t->rows_size * 2 : 16;
		t->cells = xrealloc(t->cells, t->rows_size * t->columns_count * sizeof(*t->cells));
	}
	for (size_t i = 0; i < t->columns_count; i++) {
		t->cells[t->rows_count * t->columns_count + i] =
			arena_str(&t->arena, str_of(cells[i]));
	}
	t->rows_count++;
}

/* Columns on the screen: bytes that begin a character. */
static size_t width_of(struct str s)
{
	size_t width = 0;

	for (size_t i = 0; i < s.n; i++) {
		width += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	}
	return width;
}

void table_render(const struct table *t, struct buf *out)
{
	size_t widths[TABLE_COLUMNS_MAX] = { 0 };

	for (size_t i = 0; i < t->rows_count * t->columns_count; i++) {
		widths[i % t->columns_count] =
			max_of(widths[i % t->columns_count], width_of(t->cells[i]));
	}
	for (size_t i = 0; i < t->rows_count * t->columns_count; i++) {
		size_t column = i % t->columns_count;

		buf_put_str(out, t->cells[i]);
		if (column + 1 == t->columns_count) {
			buf_put_char(out, '\n');
			continue;
		}
		for (size_t pad = width_of(t->cells[i]); pad < widths[column] + 2; pad++) {
			buf_put_char(out, ' ');
		}
	}
}
