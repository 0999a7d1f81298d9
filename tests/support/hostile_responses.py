"""Two hundred kinds of responses that a grader must survive."""


def _answers() -> list[str]:
    """What stands in the box."""
    large = [
        "9^{9^{9^9}}", "9^{9^{9}}", "10^{10^{10}}", "2^{2^{2^{2^{2^{2}}}}}", "99999999999!",
        "((((100!)!)!)!)", r"\prod_{n=1}^{10^9} n", r"\sum_{n=1}^{10^{12}} \frac{1}{n^2}",
        r"\int_0^1 x^{x^{x^x}} dx", r"\lim_{n\to\infty} n^{n^n}", r"\binom{10^9}{5 \cdot 10^8}",
        "1" * 100_000, "1" * 5000 + "." + "3" * 5000, "1e999999999", "0." + "0" * 9999 + "1",
        r"\sqrt{" * 300 + "2" + "}" * 300, r"\frac{1}{" * 300 + "2" + "}" * 300,
        "2^{" * 200 + "2" + "}" * 200, "(" * 500 + "1" + ")" * 500, "-" * 3000 + "1",
        "+".join(["x"] * 3000), "*".join(f"(x-{n})" for n in range(300)), "x^{100000}-1",
        "(x+y+z+w)^{200}", "(x+1)^{99999} = 0", r"\sin(" * 100 + "x" + ")" * 100,
        ",".join(map(str, range(5000))), r"\{" + ",".join(map(str, range(3000))) + r"\}",
        r"\begin{pmatrix}" + r" \\ ".join(["1 & 2 & 3"] * 300) + r"\end{pmatrix}",
        r"x^{5} - x + 1 = 0", r"x^7+3x^2-\sin x=0", r"\cup".join(["(0,1)"] * 400), "1/0",
        r"\frac{0}{0}", r"\infty - \infty", "0^0", r"\log 0", r"\sqrt{-1}", "nan", "inf",
    ]  # fmt: skip
    text = [
        "４２", "٤٢", "४२", "④", "Ⅳ", "½", "²", "−7", "1\u20091", "4\u200b2", "\u202e24", "🙂", "é",
        "中文", "\x00", "4\x002", "\x1b[31m42", "\ufeff42", "\ud7ff", "\U0010ffff", "\u0301" * 500,
        "", " ", "\n", "\t\r\n", "$", "$$", "$$$", r"\(", r"\[", "\\", "\\\\", "%", "&", "#", "_",
        "^", "^^^", "___", "x^", "x_", "^2", "{}", "()", "[]", "(", ")", "[", "]", "|", "||", "=",
        "==", "<", "=1", "1=", "1=2=3", "x=y=z", "<1", ",", ",,,", ";", ":", "1:", "...",
        r"\ldots", "?", "!", "!!!", r"\frac", r"\frac{", r"\frac{1}", r"\frac{1}{", r"\frac12",
        r"\frac{}{}", r"\sqrt", r"\sqrt{}", r"\left(", r"\right)", r"\left(1\right]",
        r"\begin{cases}", r"\end{cases}", r"\text{", r"\text{a}", r"\undefined{1}",
        r"\def\x{\x}\x", r"\input{/etc/passwd}", r"\write18{touch /tmp/hostile}",
        "__import__('os').system('touch /tmp/hostile')", "; touch /tmp/hostile",
        "$(touch /tmp/hostile)", "`touch /tmp/hostile`", "| touch /tmp/hostile",
        "eval(open('/etc/passwd').read())", "exec('while True: pass')", "lambda x: x",
        "().__class__.__bases__[0].__subclasses__()", "os.kill(0, 9)", "sys.exit(0)",
        "'; DROP TABLE problems; --", "<script>alert(1)</script>", "%s%s%s%n", "{0.__class__}",
        "{{7*7}}", "${jndi:ldap://x}", "../../etc/passwd", "quit()",
    ]  # fmt: skip
    return large + text


def _whole() -> list[str]:
    """Whole responses."""
    long = [
        "{" * 1_000_000, "}" * 1_000_000, "{" * 500_000 + "}" * 500_000, r"\boxed{" * 100_000,
        r"\boxed{" + "{" * 1_000_000 + "}" * 1_000_000 + "}", r"\boxed{1}" * 10_000,
        r"\boxed{" * 10_000 + "1" + "}" * 10_000, r"\boxed{1}, " * 10_000, r"\boxed " * 10_000,
        "$" * 100_000, "$1$ " * 20_000, "1 " * 100_000, "9" * 100_000, "=" * 100_000,
        "\\" * 100_000, "a" * 1_000_000, " " * 1_000_000, "\n" * 1_000_000, "\x00" * 100_000,
        r"\frac{" * 20_000, "(" * 50_000, "the answer is " * 10_000,
        "final answer is $9^{9^{9^9}}$.", "√" * 10_000,
    ]  # fmt: skip
    short = [
        "", " ", "\x00", "\n\n", r"\boxed", r"\boxed{", r"\boxed}", r"\boxed{}}", r"\boxed{{1}",
        r"\boxed{1}{2}", r"\boxed{\boxed{\boxed{1}}}", r"\boxed{1} \boxed{", r"\fbox{1}",
        "boxed{1}", r"\boxed[1]", r"\Boxed{1}", "9^{9^{9^9}}", "$9^{9^{9^9}}$", "$((99999!)!)!$",
        "4２", "Answer: ", "Answer: 1\x00", "-", ".", "1.", ".1", "1" * 4301, "0x1F", "1e5",
        "1_000", "1,0,0", "1 000", "٣", "∞", "π", "i", "e", "True", "None", "null",
    ]  # fmt: skip
    return long + short


RESPONSES = [rf"\boxed{{{answer}}}" for answer in _answers()] + _whole()
