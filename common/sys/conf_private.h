/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of conf share. The way of a configuration:
 *
 *     conf_source.c   reads and parses each source, has it checked, merges it into one JSON tree
 *     conf_keys.c     the tables of keys: what may be written where, and which field it fills
 *     conf_bind.c     checks a tree against the tables (unknown keys, types, durations); fills
 *                     struct conf from one
 *     conf_address.c  addresses: templates, defaults, what is advertised, what is listened on twice
 *     conf_check.c    the rules about values, with Consul's texts
 *     conf_debug.c    the effective configuration for agent/self
 *
 * Positions (struct json.offset) count through the concatenation of all sources, so that a value of
 * the merged tree still knows its file and line.
 */
#ifndef MUSTER_COMMON_SYS_CONF_PRIVATE_H
#define MUSTER_COMMON_SYS_CONF_PRIVATE_H

#include "common/sys/conf.h"

enum conf_type {
	KEY_TEXT,
	KEY_BOOL,
	KEY_INT,
	KEY_FLOAT,    /* checked, never stored */
	KEY_DURATION, /* text in Go's syntax -> int64_t ns */
	KEY_PORT,     /* -1 ... 65535 */
	KEY_TEXTS,    /* struct strs */
	KEY_PAIRS,    /* struct pairs */
	KEY_MULTI,    /* object of lists of text */
	KEY_OBJECT,   /* rows in inner */
	KEY_OBJECTS,  /* list of such; stored as bind_list of const struct json * */
	KEY_ANY,
};

enum { KEY_UNUSED = UINT32_MAX }; /* offset of a key that is accepted and stored nowhere */

struct conf_schema;

struct conf_key {
	const char *name;
	enum conf_type type;
	uint32_t offset; /* in struct conf */
	const struct conf_schema *inner;
	bool reloadable;
};

struct conf_schema {
	const struct conf_key *keys;
	size_t keys_count;
};

#define CONF_SCHEMA(array)                 \
	{                                  \
		(array), ARRAY_SIZE(array) \
	}

extern const struct conf_schema conf_schema;	     /* conf_keys.c */
extern const struct conf_schema conf_service_schema; /* conf_definitions.c */
extern const struct conf_schema conf_check_schema;

const struct conf_key *conf_key_find(const struct conf_schema *schema, struct str name);

struct conf_text {
	struct str path, text;
	uint32_t base; /* position of its first byte */
};

/* Several faults of one kind, shown together as Go's multierror does. */
struct conf_faults {
	struct str *items;
	size_t count, size;
};

struct conf_builder {
	struct conf *c;
	struct json *merged;
	struct conf_text *texts;
	size_t texts_count;
	uint32_t position;	   /* of the next text */
	bool offline;		   /* no interfaces to look at */
	struct conf_faults faults; /* values that are wrong in themselves; reported when all sources
				      are read */
	struct buf *warnings, *why;
};

/* conf_source.c */
int conf_sources_merge(struct conf_builder *b, const struct conf_source *sources, size_t count);
void conf_where(const struct conf_builder *b, uint32_t position,
	struct buf *out); /* " (x.json line 3)"; nothing for defaults */
int conf_line(const struct conf_text *t, uint32_t position);
void conf_fault(struct conf_builder *b, struct conf_faults *faults, const char *format, ...)
	PRINTF_LIKE(3, 4);
void conf_faults_render(struct conf_faults *faults, struct buf *out);
const struct json *conf_get(
	const struct json *tree, const char *path); /* "dns_config.soa.retry"; NULL */

/* conf_bind.c */
int conf_tree_check(struct conf_builder *b, const struct conf_text *t,
	struct json *tree); /* ST_INVALID, text in b->why */
void conf_tree_bind(struct conf *c, const struct conf_schema *schema, const struct json *tree);

/* conf_address.c: ST_INVALID, text in b->why (or faults). */
int conf_addresses_fill(struct conf_builder *b);
int conf_addresses_check(struct conf_builder *b);

/* conf_check.c */
int conf_check(struct conf_builder *b);
/* "<text> (x.json line 3)" into b->why; path names the key that is to blame. Always ST_INVALID. */
int conf_refuse(struct conf_builder *b, const char *path, const char *format, ...)
	PRINTF_LIKE(3, 4);
void conf_warn(struct conf_builder *b, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
