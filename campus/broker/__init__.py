"""The embedded Apache Kafka: one KRaft node in a child process, on a data folder of this program.

It promises that at most one process runs a Kafka on a data folder, and that the Kafka ends with that process,
even if the process is killed. It uses no Kafka client.

Read `resolve.py` first: which Kafka is used, and whether this process starts one. Then `embedded.py`, which
starts and stops it.

    data.py             the data folder, and the lock that one process holds on it
    jars.py             the pinned jars (jars.txt): found or downloaded, and checked by their SHA-256
    java.py             finds a Java 17 or newer
    server_settings.py  the settings of the broker, of its log and of its JVM
    process.py          a child process that cannot outlive us, by means of guardian.py
    diagnosis.py        why a Kafka ended, from its exit code and log
    disk.py             folders that we write to, and a full disk
"""
