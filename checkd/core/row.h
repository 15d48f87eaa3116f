/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of row.def as structs, and the tables of checkd's own database.
 */
#ifndef MUSTER_CHECKD_CORE_ROW_H
#define MUSTER_CHECKD_CORE_ROW_H

#include "common/msg/types.h"

#define TYPE(type) WIRE_DECLARE(type)
#include "checkd/core/row.def"
#undef TYPE

enum registry_table {
	TABLE_SERVICES, /* service id -> service_row */
	TABLE_CHECKS,	/* check id -> check_row */
	TABLE_STATES,	/* check id -> state_row */
	TABLE_META,	/* "boot" -> the boot id under which the states were written */
	TABLE_WATCHES,	/* a watch of events -> the index of the last that it has handled */
	TABLES_COUNT
};

#endif
