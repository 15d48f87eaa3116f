/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Columns of text: padded to the widest cell, two spaces between, the last column not padded.
 */
#ifndef MUSTER_CTL_TABLE_H
#define MUSTER_CTL_TABLE_H

#include "common/base/arena.h"
#include "common/base/buf.h"

enum { TABLE_COLUMNS_MAX = 12 };

struct table {
	struct arena arena;
	struct str *cells; /* rows of columns_count */
	size_t columns_count, rows_count, rows_size;
};

void table_init(struct table *t, size_t columns_count);
void table_fini(struct table *t);
void table_row(struct table *t, const char *const *cells); /* columns_count texts, copied */
void table_render(const struct table *t, struct buf *out);

#define TABLE_ROW(t, ...) table_row((t), (const char *const[]) { __VA_ARGS__ })

#endif
