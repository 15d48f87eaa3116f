/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkd's own database in <data_dir>/checkd: the registry's rows. All that one turn of the loop
 * writes is one transaction, synced to disk once, so that many registrations share the cost. What
 * could not be written (a full disk) is written with one of the next turns: the newest value of
 * each key, so that what waits is no more than what there is.
 */
#ifndef MUSTER_CHECKD_STORE_H
#define MUSTER_CHECKD_STORE_H

#include "checkd/core/registry.h"

struct store;

/* Makes the folder and the database when they are not there. -errno, ST_CORRUPT */
int store_open(const char *data_dir, struct store **out);
void store_free(struct store *s);
DEFINE_OWN(struct store, store_free)

/* Gives every row of a table that is on disk, in order of keys. */
typedef void (*store_row_fn)(void *arg, struct str key, struct str value);
int store_each(struct store *s, enum registry_table table, store_row_fn row, void *arg);
bool store_same_boot(struct store *s); /* the states were written since this machine started */

void store_put(struct store *s, const struct registry_write *writes); /* a list; copied */
/* Ends the turn: 0 when all of it is on disk, and all of earlier ones, -errno. */
int store_commit(struct store *s);

#endif
