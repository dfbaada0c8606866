"""Land every captured change in bronze: one streaming query over an explicit list of topics, one Delta commit per batch.

Does: reads Kafka, stores key, value and headers as received, parses the position of each change, appends; a backlog in large batches on
all cores. Every half minute it starts a process that checks the source's schema, so that schema changes are found wherever changes land.
Runs: always, as its own spark-submit (`python -m lakehouse submit land` prints the line).
Stops: `make down` writes a stop request, which takes effect between two batches; after SIGTERM alone one batch may be replayed.
When it fails: the supervisor restarts it and it continues from its checkpoint. It stops permanently if Kafka has deleted records that
were never landed.
"""

from lakehouse.bronze import land

if __name__ == "__main__":
    land.main()
