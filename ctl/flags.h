/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command-line flags in Go's syntax: -f v, -f=v, --f v, --f=v; booleans -f or -f=false; they end at
 * the first other word or at "--". A command adds its flags to a set and has the words parsed; help
 * and error texts come from the same rows.
 */
#ifndef MUSTER_CTL_FLAGS_H
#define MUSTER_CTL_FLAGS_H

#include "common/base/bind.h"
#include "common/base/buf.h"

enum flag_kind {
	FLAG_BOOL,     /* bool */
	FLAG_TEXT,     /* const char * (borrowed from argv) */
	FLAG_INT,      /* int64_t */
	FLAG_UINT,     /* uint64_t */
	FLAG_DURATION, /* int64_t ns */
	FLAG_TEXTS,    /* struct flag_list; may be given several times */
};

enum { FLAGS_MAX = 96, FLAG_LIST_MAX = 128 };

struct flag_list {
	const char *items[FLAG_LIST_MAX];
	const char *flags[FLAG_LIST_MAX]; /* which flag each came by: several may share a list */
	size_t count;
};

struct flag {
	const char *name;
	enum flag_kind kind;
	void *to;
	const char *usage;
	bool given;
};

struct flagset {
	struct flag rows[FLAGS_MAX];
	size_t count;
	size_t own_count; /* rows before these belong to the command itself; set by flags_end_own */
};

void flag_add(
	struct flagset *f, const char *name, enum flag_kind kind, void *to, const char *usage);
void flags_end_own(struct flagset *f);
bool flag_given(const struct flagset *f, const char *name);

/*
 * Index of the first word that is no flag; ST_INVALID as negative (-ST_INVALID) with Go's text in
 * *why; -ST_NOT_FOUND when help was asked for (-h, -help).
 */
int flags_parse(struct flagset *f, int argc, char **argv, struct buf *why);

/* The rows with their explanations, wrapped, in two sections (own, shared). */
void flags_render(const struct flagset *f, struct buf *out);

#endif
