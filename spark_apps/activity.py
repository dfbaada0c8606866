"""The live half: clicks and telemetry into Redis every two seconds, and into Iceberg, with the profile of each user, every minute.

Does: reads the topics of events and telemetry. The live lane sets one-minute windows and events by second in Redis; the final lane stores
each event once, unreadable records as dead letters, and the final values of each window.
Runs: always, where the live half is on, as its own spark-submit (`python -m lakehouse submit activity` prints the line).
Stops: `make down` writes a stop request, which takes effect between two batches; a round of the final lane that is cut short is done again.
When it fails: the supervisor restarts it. The live lane is rebuilt from Kafka, the final lane continues from its tables' own commits. The
final lane waits while silver.users, S3 or the catalog is away, and the live lane goes on. While Redis is away, the final lane goes on and
the live lane keeps its windows in memory.
"""

from lakehouse.live import activity

if __name__ == "__main__":
    activity.main()
