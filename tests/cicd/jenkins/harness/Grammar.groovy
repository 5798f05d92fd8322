import org.codehaus.groovy.ast.ASTNode
import org.codehaus.groovy.ast.CodeVisitorSupport
import org.codehaus.groovy.ast.builder.AstBuilder
import org.codehaus.groovy.ast.expr.*
import org.codehaus.groovy.ast.stmt.*
import org.codehaus.groovy.control.CompilePhase

/** A construct that Jenkins' declarative syntax, or this harness, does not have. */
class NotCovered extends Exception {
    NotCovered(String what) { super(what) }
}

/**
 * The declarative syntax (jenkins.io, "Pipeline Syntax"), as far as the shipped Jenkinsfile uses it; all else is refused.
 * Jenkins checks the same before it runs anything: what may stand where, and that only `script` holds free Groovy.
 */
class Grammar {
    static final PIPELINE = ['agent', 'triggers', 'options', 'parameters', 'environment', 'stages', 'post']
    static final STAGE = ['when', 'environment', 'steps', 'stages', 'post']
    static final CONDITIONS = ['always', 'success', 'failure', 'aborted', 'cleanup']
    static final DIRECTIVES = [
        agent: ['label'], triggers: ['cron', 'GenericTrigger'], when: ['expression'],
        options: ['disableConcurrentBuilds', 'timeout', 'buildDiscarder'],
        parameters: ['choice', 'booleanParam', 'string'],
    ]

    final Set<String> secrets = []

    /** Refuse a file that Jenkins or the harness would not understand, or that lets Groovy see a secret. */
    static void check(String text) {
        def nodes = new AstBuilder().buildFromString(CompilePhase.CONVERSION, false, text)
        def file = nodes.find { it instanceof BlockStatement }
        def pipelines = statements(file).collect { called(it) }.findAll { it?.methodAsString == 'pipeline' }
        if (pipelines.size() != 1) throw new NotCovered('one pipeline { } is needed')
        def grammar = new Grammar()
        grammar.pipeline(body(pipelines[0]))
        grammar.keepSecretsFromGroovy(nodes)
    }

    private void pipeline(List<Statement> parts) {
        def named = sections(parts, PIPELINE, 'pipeline')
        ['agent', 'stages'].each { if (!named[it]) throw new NotCovered("pipeline has no $it") }
        ['agent', 'triggers', 'options', 'parameters'].each { directive(named, it) }
        environment(named)
        stages(named['stages'])
        post(named)
    }

    private void stages(MethodCallExpression section) {
        def parts = body(section)
        if (!parts) throw new NotCovered('stages is empty')
        parts.each {
            def stage = called(it)
            if (stage?.methodAsString != 'stage') throw new NotCovered("in stages: ${it.text}")
            one(stage)
        }
    }

    private void one(MethodCallExpression stage) {
        def named = sections(body(stage), STAGE, 'stage')
        if (!named['steps'] == !named['stages']) throw new NotCovered('a stage has either steps or stages')
        directive(named, 'when')
        environment(named)
        post(named)
        if (named['stages']) stages(named['stages'])
        if (named['steps']) steps(body(named['steps']), 'steps')
    }

    private void post(Map named) {
        if (!named['post']) return
        sections(body(named['post']), CONDITIONS, 'post').each { name, section -> steps(body(section), name) }
    }

    private static void directive(Map named, String name) {
        if (!named[name]) return
        def parts = body(named[name])
        if (!parts) throw new NotCovered("$name is empty")
        parts.each {
            if (!(called(it)?.methodAsString in DIRECTIVES[name])) throw new NotCovered("in $name: ${it.text}")
        }
    }

    private void environment(Map named) {
        if (!named['environment']) return
        def parts = body(named['environment'])
        if (!parts) throw new NotCovered('environment is empty')
        parts.each { variable(it) }
    }

    private void variable(Statement statement) {
        def set = statement instanceof ExpressionStatement ? statement.expression : null
        if (!(set instanceof BinaryExpression && set.operation.text == '=' && set.leftExpression instanceof VariableExpression)) {
            throw new NotCovered("in environment: ${statement.text}")
        }
        def value = set.rightExpression
        if (value instanceof MethodCallExpression && value.methodAsString == 'credentials') {
            secrets << set.leftExpression.name
        } else if (!(value instanceof ConstantExpression && value.value instanceof String || value instanceof GStringExpression)) {
            throw new NotCovered("the value of ${set.leftExpression.name} is no text: ${value.text}")
        }
    }

    private static void steps(List<Statement> parts, String where) {
        if (!parts) throw new NotCovered("$where is empty")
        parts.each { if (!called(it)) throw new NotCovered("in $where only steps may stand: ${it.text}") }
    }

    /** CVE-2018-1000057: what Groovy fills in is in the script's text, in ps and in traces. Only the shell may. */
    private void keepSecretsFromGroovy(List<ASTNode> nodes) {
        def held = secrets
        def visitor = new CodeVisitorSupport() {
            @Override void visitVariableExpression(VariableExpression found) { refuse(found.name) }
            @Override void visitPropertyExpression(PropertyExpression found) {
                refuse(found.propertyAsString)
                super.visitPropertyExpression(found)
            }
            @Override void visitBinaryExpression(BinaryExpression found) {
                def declares = found.operation.text == '=' && found.leftExpression instanceof VariableExpression
                if (declares) found.rightExpression.visit(this) else super.visitBinaryExpression(found)
            }
            private void refuse(String name) {
                if (held.any { name == it || name in ["${it}_USR", "${it}_PSW"]*.toString() }) throw new NotCovered("Groovy reads the secret $name")
            }
        }
        nodes.findAll { it instanceof BlockStatement }.each { it.visit(visitor) }
        nodes.findAll { it instanceof org.codehaus.groovy.ast.ClassNode }.each { it.methods.each { it.code?.visit(visitor) } }
    }

    private static Map<String, MethodCallExpression> sections(List<Statement> parts, List<String> allowed, String where) {
        def named = [:]
        parts.each {
            def name = called(it)?.methodAsString
            if (!(name in allowed)) throw new NotCovered("in $where: ${it.text}")
            if (named[name]) throw new NotCovered("$where has two $name")
            named[name] = called(it)
        }
        named
    }

    private static MethodCallExpression called(Statement statement) {
        def inner = statement instanceof ExpressionStatement ? statement.expression : statement instanceof ReturnStatement ? statement.expression : null
        inner instanceof MethodCallExpression ? inner : null
    }

    private static List<Statement> body(MethodCallExpression section) {
        def closure = section.arguments instanceof TupleExpression ? section.arguments.expressions.find { it instanceof ClosureExpression } : null
        if (!closure) throw new NotCovered("${section.methodAsString} has no { }")
        statements(closure.code)
    }

    private static List<Statement> statements(Statement block) {
        block instanceof BlockStatement ? block.statements : [block]
    }
}
