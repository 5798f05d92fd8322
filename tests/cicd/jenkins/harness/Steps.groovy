import java.nio.file.*
import java.util.concurrent.TimeUnit

/** The steps that the Jenkinsfile uses; any other ends the build. */
class Steps {
    private final Build build

    Steps(Build build) { this.build = build }

    def getEnv() { new Environment(build) }

    def getParams() { build.parameters }

    def getCurrentBuild() { new CurrentBuild(build) }

    def script(Closure body) { build.perform(body) }

    def echo(Object text) { build.log.println(build.mask(text.toString())) }

    def error(Object text) { throw new StepFailed(text.toString()) }

    /** `sh -xe` on the agent. A GString would have Groovy put values into the script's text: refused. */
    def sh(Object given) {
        def options = given instanceof Map ? given : [script: given]
        def unknown = options.keySet() - ['script', 'returnStdout', 'returnStatus']
        if (unknown || !(options.script instanceof String)) throw new NotCovered("sh(${options})")
        def program = new ShellStep(build).run(options.script)
        if (options.returnStatus) return program.code
        if (program.code != 0) throw new StepFailed("script returned exit code ${program.code}")
        options.returnStdout ? program.stdout : null
    }

    def catchError(Map options, Closure body) {
        if (options.keySet() != ['buildResult', 'stageResult'] as Set) throw new NotCovered("catchError($options)")
        try {
            body()
        } catch (StepFailed error) {
            echo("ERROR: ${error.message}")
            build.worsen(Result.valueOf(options.buildResult))
        }
    }

    /** The plugin's rule: files older than the build are an error; a failed case makes the build unstable. */
    def junit(Map options) {
        if (options.keySet() != ['testResults', 'allowEmptyResults'] as Set) throw new NotCovered("junit($options)")
        def files = matching(options.testResults)
        if (!files && !options.allowEmptyResults) throw new StepFailed('No test report files were found')
        files.each { file ->
            if (Files.getLastModifiedTime(file).toMillis() < build.started) throw new StepFailed("$file is of an earlier build")
            new XmlSlurper().parse(file.toFile()).'**'.findAll { it.name() == 'testcase' }.each {
                def bad = it.children().any { it.name() in ['failure', 'error'] }
                build.tests << [name: it.@name.text(), passed: !bad]
                if (bad) build.worsen(Result.UNSTABLE)
            }
        }
    }

    def archiveArtifacts(Map options) {
        if (options.keySet() != ['artifacts'] as Set) throw new NotCovered("archiveArtifacts($options)")
        def files = matching(options.artifacts)
        if (!files) throw new StepFailed("No artifacts found that match the file pattern ${options.artifacts}")
        files.each {
            def name = build.workspace.relativize(it)
            def target = Paths.get(build.given.archive as String).resolve(name)
            Files.createDirectories(target.parent)
            Files.copy(it, target)
            build.archived << name.toString()
        }
    }

    private List<Path> matching(String pattern) {
        def matcher = FileSystems.default.getPathMatcher("glob:$pattern")
        def found = []
        build.workspace.toFile().eachFileRecurse(groovy.io.FileType.FILES) {
            if (matcher.matches(build.workspace.relativize(it.toPath()))) found << it.toPath()
        }
        found
    }

    /** A function of the Jenkinsfile itself is no step: Groovy finds it before it asks here. */
    def methodMissing(String name, Object arguments) { throw new NotCovered("the step $name") }
}

/** One shell script as Jenkins' durable-task plugin runs it, and stops it. */
class ShellStep {
    static final COOKIE = 'JENKINS_SERVER_COOKIE'
    final Build build
    int code
    String stdout = ''

    ShellStep(Build build) { this.build = build }

    ShellStep run(String script) {
        refuseInterruption()
        def file = Files.createTempFile(build.temporary, 'script', '.sh')
        Files.writeString(file, script)
        def cookie = "durable-${UUID.randomUUID()}".toString()
        def command = new ProcessBuilder('sh', '-xe', file.toString()).directory(build.workspace.toFile())
        command.environment().clear()
        command.environment().putAll(build.variables() + [(COOKIE): cookie])
        command.redirectInput(new File('/dev/null'))
        def child = command.start()
        def readers = [Thread.start { stdout = child.inputStream.getText('UTF-8') }, Thread.start { child.errorStream.eachLine('UTF-8') { tell(it) } }]
        while (!child.waitFor(50, TimeUnit.MILLISECONDS)) {
            if (build.interruption) stop(cookie, child)
        }
        readers*.join(2000) // a program that outlives its shell keeps the pipes open
        stdout.eachLine { tell(it) }
        code = child.exitValue()
        refuseInterruption()
        this
    }

    private synchronized void tell(String line) { build.log.println(build.mask(line)) }

    private void refuseInterruption() { if (build.interruption) throw new Interrupted(build.interruption) }

    /** hudson.util.ProcessTree: SIGTERM for each process with the cookie and for all its children, children first. */
    private static void stop(String cookie, Process child) {
        def mark = "$COOKIE=$cookie".toString()
        new File('/proc').list().findAll { it.isInteger() && mark in read(it, 'environ').split('\0') }.each { kill(it) }
        child.waitFor(60, TimeUnit.SECONDS)
    }

    private static void kill(String process) {
        (new File("/proc/$process/task").list() ?: []).each { thread ->
            read(process, "task/$thread/children").split().each { kill(it) }
        }
        ['kill', '-TERM', process].execute().waitFor()
    }

    private static String read(String process, String file) {
        try {
            new File("/proc/$process/$file").getText('UTF-8')
        } catch (IOException ignored) {
            '' // it ended meanwhile
        }
    }
}
