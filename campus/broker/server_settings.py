"""The settings of the embedded Kafka: one KRaft node, as small and as fast as possible, all in one folder.

Every path is relative to the folder that Kafka runs in: a properties file is Latin-1, and a comma in
`log.dirs` separates folders, so an absolute path could break it.
"""

from campus.addresses import Address
from campus.broker.java import Java

NODE_ID = 1
LOG_DIR = "kafka"
LOG_FILE = "broker.log"
LOG4J_FILE = "log4j2.properties"
HEAP_INITIAL_MIB = 128

# A killed broker cannot register again before its old session has expired, which takes 9 s by default.
SESSION_TIMEOUT_MS = 2000
HEARTBEAT_INTERVAL_MS = 400
assert HEARTBEAT_INTERVAL_MS * 3 < SESSION_TIMEOUT_MS

LOG4J_SETTINGS = f"""\
rootLogger.level = WARN
rootLogger.appenderRef.file.ref = file
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {LOG_FILE}
appender.file.filePattern = {LOG_FILE}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{yyyy-MM-dd HH:mm:ss}} %p %m (%c{{1}})%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 1
"""


def broker_settings(address: Address, controller: Address, *, log_dir: str = LOG_DIR) -> str:
    """`controller` may differ at each start, since the node is its own quorum."""
    return f"""\
process.roles = broker,controller
node.id = {NODE_ID}
listeners = CLIENT://{address},CONTROLLER://{controller}
advertised.listeners = CLIENT://{address}
inter.broker.listener.name = CLIENT
controller.listener.names = CONTROLLER
listener.security.protocol.map = CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.bootstrap.servers = {controller}
log.dirs = {log_dir}
auto.create.topics.enable = false
broker.session.timeout.ms = {SESSION_TIMEOUT_MS}
broker.heartbeat.interval.ms = {HEARTBEAT_INTERVAL_MS}
# There is only one node to replicate to, and each partition of an internal topic costs files.
offsets.topic.replication.factor = 1
offsets.topic.num.partitions = 1
transaction.state.log.replication.factor = 1
transaction.state.log.min.isr = 1
transaction.state.log.num.partitions = 1
share.coordinator.state.topic.replication.factor = 1
share.coordinator.state.topic.min.isr = 1
share.coordinator.state.topic.num.partitions = 1
group.initial.rebalance.delay.ms = 0
# The default of 128 MiB is half of the heap.
log.cleaner.dedupe.buffer.size = 2097152
"""


def java_options(java: Java, heap: str) -> list[str]:
    """`heap`: such as "256m" or "1g"."""
    heap_mib = int(heap[:-1]) * (1024 if heap.endswith("g") else 1)
    options = [
        f"-Xms{min(HEAP_INITIAL_MIB, heap_mib)}m",
        f"-Xmx{heap}",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",  # starts a second sooner, and is fast enough for one machine
        "-XX:+ExitOnOutOfMemoryError",  # a restart is better than a half-dead broker
        "-XX:-UsePerfData",
        "-XX:ErrorFile=java-crash.log",
        f"-Dlog4j2.configurationFile={LOG4J_FILE}",
    ]
    if java.version >= 24:
        options.append("--sun-misc-unsafe-memory-access=allow")  # else it warns about Kafka's libraries
    return options
