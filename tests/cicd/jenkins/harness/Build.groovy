import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import java.nio.file.*
import java.nio.file.attribute.PosixFilePermissions
import java.util.concurrent.TimeUnit

/** How bad a result is, as Jenkins orders them; a build only gets worse. */
enum Result { SUCCESS, UNSTABLE, FAILURE, ABORTED }

/** Somebody stopped the build, or its time was up. */
class Interrupted extends Exception {
    Interrupted(String why) { super(why) }
}

/** What `error` and a failing step throw. */
class StepFailed extends Exception {
    StepFailed(String why) { super(why) }
}

/** The file itself: functions that it defines call steps and read env, params and currentBuild like a step does. */
abstract class PipelineFile extends Script {
    def pipeline(Closure body) { binding.getVariable('build').pipeline(body) }

    def methodMissing(String name, Object arguments) { binding.getVariable('steps').invokeMethod(name, arguments) }
}

/** A stage as it was declared. */
class Stage {
    String name
    Closure when
    Closure environment
    Closure steps
    List<Stage> stages = []
    Map<String, Closure> post = [:]
}

/** Collects what stands in a section; the grammar has refused everything else. */
class Collector {
    final Map<String, Closure> found = [:]
    final List<Stage> stages = []
    final List<Map> calls = []

    static Collector of(Closure body) {
        def collector = new Collector()
        body.delegate = collector
        body.resolveStrategy = Closure.DELEGATE_ONLY
        body.call()
        collector
    }

    def stage(String name, Closure body) {
        def parts = of(body).found
        def inner = parts.stages ? of(parts.stages).stages : []
        def when = parts.when ? of(parts.when).found.expression : null
        def post = parts.post ? of(parts.post).found : [:]
        stages << new Stage(name: name, when: when, environment: parts.environment, steps: parts.steps, stages: inner, post: post)
    }

    def methodMissing(String name, Object arguments) {
        def given = arguments as List
        if (given && given[-1] instanceof Closure) {
            found[name] = given[-1]
        } else {
            calls << [name: name, arguments: given]
        }
        [(name): given]
    }
}

/** One build of one pipeline: the file from git, the agent's workspace, the credentials' store, the log. */
class Build {
    final Map given
    final Path workspace
    final Path temporary
    final Map<String, Object> declared = [:]
    final List<Map> stages = []
    final List<String> archived = []
    final List<Map> tests = []
    final Map<String, String> assigned = [:]
    final List<Map<String, String>> layers = []
    final Set<String> masked = [] as Set
    final PrintWriter log
    final long started = System.currentTimeMillis()
    Map<String, Object> parameters = [:]
    Result result = Result.SUCCESS
    String description
    volatile String interruption
    private Collector model
    private Script file
    private Throwable told

    Build(Map given) {
        this.given = given
        workspace = Paths.get(given.workspace)
        temporary = Paths.get(given.workspace + '@tmp')
        log = new PrintWriter(new FileWriter(given.log as String), true)
    }

    /** From the checkout to the last post condition; never throws. */
    Map run() {
        try {
            def text = checkout()
            Grammar.check(text)
            def binding = new Binding(build: this, steps: new Steps(this), env: new Environment(this), params: parameters, currentBuild: new CurrentBuild(this))
            def settings = new org.codehaus.groovy.control.CompilerConfiguration(scriptBaseClass: PipelineFile.name)
            file = new GroovyShell(Build.classLoader, binding, settings).parse(text, 'Jenkinsfile')
            file.run()
            play()
        } catch (Throwable error) {
            ended(error)
        }
        log.close()
        [result: result.name(), description: description, stages: stages, archived: archived, tests: tests, declared: declared]
    }

    /** Jenkins' own checkout before the first stage: all branches, no notes, a detached HEAD. */
    private String checkout() {
        Files.createDirectories(temporary)
        if (!Files.isDirectory(workspace.resolve('.git'))) git('init', '--quiet', workspace.toString())
        git('-C', workspace.toString(), 'fetch', '--quiet', '--force', given.remote, '+refs/heads/*:refs/remotes/origin/*')
        git('-C', workspace.toString(), 'config', 'remote.origin.url', given.remote)
        git('-C', workspace.toString(), 'config', 'remote.origin.fetch', '+refs/heads/*:refs/remotes/origin/*')
        git('-C', workspace.toString(), 'checkout', '--quiet', '--force', '--detach', "refs/remotes/origin/${given.branch}".toString())
        Files.readString(workspace.resolve(given.script as String))
    }

    private void git(String... words) {
        def command = new ProcessBuilder(['git', *words]).redirectErrorStream(true)
        command.environment().clear()
        command.environment().putAll(given.environment as Map)
        def child = command.start()
        def said = child.inputStream.text
        if (child.waitFor() != 0) throw new StepFailed("git ${words.join(' ')}: $said")
    }

    void pipeline(Closure body) {
        model = Collector.of(body)
        ['agent', 'triggers', 'options', 'parameters'].each { name ->
            def closure = model.found[name]
            declared[name] = closure ? Collector.of(closure).calls.collect { [name: it.name, arguments: it.arguments] } : []
        }
        declared.parameters.each { parameters[it.arguments[0].name] = chosen(it.name, it.arguments[0]) }
        def unknown = given.parameters.keySet() - parameters.keySet()
        if (unknown) throw new NotCovered("no such parameter: $unknown")
    }

    private Object chosen(String kind, Map parameter) {
        def preset = kind == 'choice' ? parameter.choices[0] : parameter.defaultValue
        def value = given.parameters.getOrDefault(parameter.name, preset)
        if (kind == 'choice' && !(value in parameter.choices)) throw new NotCovered("${parameter.name} cannot be $value")
        value
    }

    private void play() {
        def limit = declared.options.find { it.name == 'timeout' }?.arguments?.getAt(0)
        watch(limit ? TimeUnit.valueOf(limit.unit).toMillis(limit.time as long) : Long.MAX_VALUE)
        def parts = model.found
        within(parts.environment) {
            guarded { Collector.of(parts.stages).stages.each { stage(it) } }
            post(parts.post ? Collector.of(parts.post).found : [:])
        }
    }

    /** A person's abort (a file) and the time limit interrupt whatever step runs. */
    private void watch(long limit) {
        def abort = Paths.get(given.abort as String)
        Thread.startDaemon {
            while (!interruption) {
                if (Files.exists(abort)) interruption = 'Aborted by a person'
                if (System.currentTimeMillis() - started > limit) interruption = 'Timeout has been exceeded'
                Thread.sleep(50)
            }
        }
    }

    private void stage(Stage stage) {
        def row = [name: stage.name, status: 'SKIPPED']
        stages << row
        if (stage.when && !perform(stage.when)) return
        log.println("[Pipeline] { (${stage.name})")
        Throwable fault = null
        within(stage.environment) {
            def before = result
            fault = guarded { stage.stages.each { this.stage(it) }; if (stage.steps) perform(stage.steps) }
            row.status = (fault ? statusOf(fault) : result > before ? result : Result.SUCCESS).name()
            post(stage.post)
        }
        if (fault) throw fault
    }

    /** The post section: `always` first, `cleanup` last; the others by the build's result when their turn comes. */
    private void post(Map<String, Closure> conditions) {
        def named = [aborted: Result.ABORTED, failure: Result.FAILURE, success: Result.SUCCESS]
        (['always'] + named.keySet() + ['cleanup']).each { name ->
            def met = !named[name] || named[name] == result
            if (met && conditions[name]) guarded { perform(conditions[name]) }
        }
    }

    private Throwable guarded(Closure body) {
        try {
            body()
            null
        } catch (Throwable error) {
            ended(error)
            error
        }
    }

    /** An error passes through all the blocks around it; it is told once. */
    private void ended(Throwable error) {
        if (error.is(told)) return
        told = error
        def plain = [StepFailed, Interrupted, NotCovered].any { it.isInstance(error) }
        log.println(mask(plain ? "ERROR: ${error.message}" : traceback(error)))
        worsen(statusOf(error))
        if (error instanceof Interrupted) interruption = null // what follows (post) may run steps again
    }

    private static String traceback(Throwable error) {
        def text = new StringWriter()
        org.codehaus.groovy.runtime.StackTraceUtils.deepSanitize(error).printStackTrace(new PrintWriter(text, true))
        text
    }

    private static Result statusOf(Throwable error) { error instanceof Interrupted ? Result.ABORTED : Result.FAILURE }

    void worsen(Result to) { if (to > result) result = to }

    /** Steps, and the functions of the file; not what surrounds the block in the file. */
    def perform(Closure body) { body.rehydrate(new Steps(this), file, file).call() }

    /** Variables and credentials for a block; a credential's file is gone after it. */
    private void within(Closure declaration, Closure body) {
        if (!declaration) {
            body()
            return
        }
        def directory = Files.createTempDirectory(temporary, 'secretFiles')
        def layer = new EnvironmentDirective(this, directory)
        layers << layer.values
        try {
            def call = declaration.clone() as Closure
            call.delegate = layer
            call.resolveStrategy = Closure.DELEGATE_ONLY
            call()
            body()
        } finally {
            layers.remove(layers.size() - 1)
            directory.toFile().deleteDir()
        }
    }

    /** What a program on the agent gets: the directives' variables beat `env.X = …`, those the build's own. */
    Map<String, String> variables() {
        def own = [
            BUILD_NUMBER: given.number as String, BUILD_ID: given.number as String, JOB_NAME: given.job, JOB_BASE_NAME: given.job,
            BUILD_TAG: "jenkins-${given.job}-${given.number}".toString(), WORKSPACE: workspace.toString(), JENKINS_HOME: '/var/lib/jenkins',
        ]
        def all = given.environment + own + parameters.collectEntries { [(it.key): it.value as String] } + assigned
        layers.inject(all) { sum, layer -> sum + layer }
    }

    String mask(String line) { masked.sort { -it.size() }.inject(line) { text, secret -> text.replace(secret, '****') } }
}

/** `environment { }`: assignments and credentials(…). */
class EnvironmentDirective {
    final Build build
    final Path directory
    final Map<String, String> values = [:]

    EnvironmentDirective(Build build, Path directory) { this.build = build; this.directory = directory }

    Object credentials(String id) {
        def found = build.given.credentials[id]
        if (found == null) throw new StepFailed("Could not find credentials entry with ID '$id'")
        found + [id: id]
    }

    void setProperty(String name, Object value) {
        if (value instanceof Map) bind(name, value) else values[name] = value.toString()
    }

    /** Which variables each kind of credential sets: jenkins.io, "Using a Jenkinsfile", "Handling credentials". */
    private void bind(String name, Map credential) {
        switch (credential.kind) {
            case 'text': keep(name, credential.value); break
            case 'login':
                values["${name}_USR".toString()] = credential.user
                keep("${name}_PSW".toString(), credential.value)
                keep(name, "${credential.user}:${credential.value}".toString())
                break
            case ['file', 'key']:
                def file = directory.resolve(credential.id)
                Files.createFile(file, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString('rw-------')))
                Files.writeString(file, credential.value)
                values[name] = file.toString()
                if (credential.kind == 'key') values["${name}_USR".toString()] = credential.user
                break
            default: throw new NotCovered("a credential of kind ${credential.kind}")
        }
    }

    private void keep(String name, String value) {
        values[name] = value
        build.masked << value
    }

    Object getProperty(String name) {
        switch (name) {
            case 'values': return this.@values
            case 'params': return build.parameters
            case 'env': return new Environment(build)
            case 'currentBuild': return new CurrentBuild(build)
            default: throw new NotCovered("in environment: $name")
        }
    }
}

/** `env`: reads what a program would get, and sets for all later stages. */
class Environment {
    private final Build build

    Environment(Build build) { this.build = build }

    Object getProperty(String name) { this.@build.variables()[name] }

    void setProperty(String name, Object value) { this.@build.assigned[name] = value.toString() }
}

/** `currentBuild`, as far as it is used. */
class CurrentBuild {
    private final Build build

    CurrentBuild(Build build) { this.build = build }

    String getDescription() { build.description }

    void setDescription(String text) { build.description = text }

    long getStartTimeInMillis() { build.started }

    String getCurrentResult() { build.result.name() }
}

/** Starts a build as told by a file, and writes how it ended to another; or only looks at files: what is refused. */
class Main {
    static void main(String[] arguments) {
        if (arguments[0] == '--check') {
            arguments.tail().each { println(refusal(new File(it).text)) }
            return
        }
        def given = new JsonSlurper().parse(new File(arguments[0])) as Map
        def queue = new RandomAccessFile(given.workspace + '.lock', 'rw').channel.lock() // disableConcurrentBuilds
        def told = new Build(given).run()
        new File(arguments[1]).text = JsonOutput.toJson(told)
        queue.release()
        System.exit(0)
    }

    private static String refusal(String file) {
        try {
            Grammar.check(file)
            ''
        } catch (NotCovered error) {
            error.message
        }
    }
}
