/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of records as answers: what ?filter, ?node-meta, ?tag and ?near mean, once for all
 * endpoints that have them.
 *
 *     struct list l;
 *     if (!list_begin(&l, x, FILTER_NODE)) return;              // answered: bad filter
 *     if (list_held(&l)) return;
 *     ... list_add(&l, record.json, key_of_node) ...            // dropped when it does not match
 * the filter list_end(&l);                                             // answers with the JSON
 * array
 *
 * Without parameters list_add does nothing but append to the body.
 */
#ifndef MUSTER_HTTPD_LIST_H
#define MUSTER_HTTPD_LIST_H

#include "httpd/core/filter.h"
#include "httpd/core/translate.h"
#include "httpd/httpd.h"

struct list_element {
	struct str json;
	double distance;
	uint32_t number;
	bool is_out;
};

struct list_query {
	struct exchange *x;
	enum filter_object object; /* what the elements are */
	bool wan;		   /* they are shown as another data centre sees them */
	struct filter *filter;
	struct arena scratch; /* of the filter */
	bool narrowed;	      /* shows only a part of the thing: the engine compares answers */
	bool has_meta, has_tags;
	bool near;  /* elements are collected and sorted */
	bool weeds; /* elements are collected, and some of them are out */
	struct coordinate origin;
	struct list_element *elements;
	uint32_t count, room;
};

/* Reads the parameters. false: answered (bad filter). After true, list_end or list_drop must come.
 */
bool list_begin(struct list_query *l, struct exchange *x, enum filter_object object);
/* read_held or read_held_filtered; true: dropped, return at once. */
bool list_held(struct list_query *l);
/* ?node-meta and ?tag about one record. */
bool list_wants_meta(const struct list_query *l, const struct pairs *node_meta);
bool list_wants_tags(const struct list_query *l, const struct strs *tags);
/* node: its name in lower case, for ?near. json: borrowed from the transaction. */
void list_add(struct list_query *l, struct str json, struct str node);
/* For ?passing, which is applied behind ?near: an element that is out is dropped at the end, and
 * the last one takes its place, as in Consul. l->weeds must have been set. */
void list_add_out(struct list_query *l, struct str json, struct str node);
bool list_matches(struct list_query *l, struct str json); /* ?filter alone */
/* An element, or a part of one, as its client is to see it; list_add does that by itself. */
struct str list_shown(struct list_query *l, enum filter_object object, struct str json);
void list_end(struct list_query *l);
void list_drop(struct list_query *l);

/* A node that has measured nothing yet. */
#define COORDINATE_ORIGIN \
	STR("{\"Vec\":[0,0,0,0,0,0,0,0],\"Error\":1.5,\"Adjustment\":0,\"Height\":0.00001}")

/* Where the state says that a node is (its name in lower case). */
bool coordinate_find(struct exchange *x, struct str node, struct coordinate *out);
/* Estimated round trip between two nodes in seconds (Vivaldi). */
double coordinate_distance(const struct coordinate *a, const struct coordinate *b);

#endif
