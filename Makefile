# For pgxn and for packagers, who expect make to work: `make && make install && make installcheck`, with PG_CONFIG naming the
# PostgreSQL. Everything else is done by ./dev.
PG_CONFIG ?= pg_config
export PG_CONFIG

REGRESS_DIR = $(dir $(shell $(PG_CONFIG) --pgxs))../test/regress

OUT ?= /tmp/omendb-installcheck

all:
	./dev build

install:
	./dev install

# Needs a running server on this machine in which omendb is installed; PGHOST, PGPORT and PGUSER name it. The server writes files too.
# Queries are not compiled: the plans that tests force look so expensive that Postgres would, which takes minutes.
installcheck:
	mkdir -p $(OUT)/results
	chmod a+rwx $(OUT)/results
	PGOPTIONS='-c jit=off' $(REGRESS_DIR)/pg_regress --inputdir=tests/pg_regress --outputdir=$(OUT) \
	    --bindir="$(shell $(PG_CONFIG) --bindir)" --dbname=omendb_regress --load-extension=omendb \
	    $(sort $(basename $(notdir $(wildcard tests/pg_regress/sql/*.sql))))

clean:
	cargo clean

.PHONY: all install installcheck clean
