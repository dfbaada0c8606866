"""Land every captured change in bronze: one streaming query over an explicit list of topics, one Delta commit per batch.

Does: reads Kafka, keeps key, value and headers as received, parses the few fields that place a change, appends; a backlog in large
batches on all cores. Every half minute it has the source's schema looked at, in a process of its own: where changes land, somebody looks.
Runs: always, as its own spark-submit (`python -m lakehouse submit land` prints the line).
Stops: `make down` leaves a stop request that is obeyed between two batches; SIGTERM alone may replay one batch.
When it fails: the supervisor starts it again and the checkpoint goes on where it was. It stops for good where Kafka no
longer has records that were never landed.
"""

from lakehouse.bronze import land

if __name__ == "__main__":
    land.main()
