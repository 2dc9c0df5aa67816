"""Turns edits into new text with LibCST, and proves that nothing else moved.

Only the top-level statement that holds an edit is parsed and written again, so the rest of the
file stays byte-identical by construction and a 20,000-line file costs no more than its function.
The result is compared, as a syntax tree, with the same edits made on the tree: what was searched
is exactly what is written.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from selfheal_engine.diagnosis.source_file import BOM, SourceFile, Span
from selfheal_engine.errors import SelfhealError
from selfheal_engine.patch_generator.edits import BODY, EXPR, Edit
from selfheal_engine.patch_generator.imports import place_import
from selfheal_engine.patch_generator.tree_edits import edited_tree


class RewriteError(SelfhealError):
    """The edits cannot be made on this file."""


def apply_edits(file: SourceFile, edits: Sequence[Edit]) -> bytes:
    """The file's new content. Raises RewriteError when an edit has no place or breaks the file."""
    raw = file.raw_text
    if "\r" in raw.replace("\r\n", ""):
        raise RewriteError(f"{file.path} has bare carriage returns as line ends: convert it first")
    lines = list(file.lines)
    texts = [edit for edit in edits if edit.kind == "text"]
    changes: list[tuple[int, int, str]] = []
    if texts:
        lines = _splice(lines, texts)
    structural = [e for e in edits if e.kind in ("expression", "statements", "argument")]
    if structural and file.syntax_error is not None:
        raise RewriteError(f"{file.path} does not parse, so its statements cannot be rewritten")
    if structural and len(lines) != len(file.lines):
        raise RewriteError("a text edit that moves lines stands alone")
    for first, last in _regions(file, structural):
        region = "".join(lines[first - 1 : last])
        inside = [_moved(e, 1 - first) for e in structural if first <= e.span.line <= last]
        changes.append((first, last, _rewrite(region, inside, file.indent)))
    for first, last, new in sorted(changes, reverse=True):
        lines[first - 1 : last] = new.splitlines(True)
    text = "".join(lines)
    for edit in edits:
        if edit.kind == "import":
            text = place_import(text, edit.code)
    if text == file.text:
        raise RewriteError("the edits change nothing")
    return _encode(file, text)


def _encode(file: SourceFile, text: str) -> bytes:
    raw = _with_line_ends(file.raw_text, text)
    try:
        content = raw.encode(file.encoding)
    except UnicodeEncodeError:
        raise RewriteError(f"the new text cannot be written as {file.encoding}") from None
    return BOM + content if file.content.startswith(BOM) else content


def _with_line_ends(before: str, text: str) -> str:
    """`text` (with `\\n`) with the line ends of `before`: each kept line keeps its own."""
    if "\r\n" not in before:
        return text
    old = (
        before.splitlines(True)
        if _plain_lines(before)
        else before.replace("\r\n", "\r\n\0").split("\0")
    )
    if all(line.endswith("\r\n") for line in old[:-1]):
        return text.replace("\n", "\r\n")
    import difflib

    new = text.split("\n")
    new = [line + "\n" for line in new[:-1]] + ([new[-1]] if new[-1] else [])
    old = _split_lines(before)
    plain = [line.replace("\r\n", "\n") for line in old]
    out: list[str] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, plain, new, False).get_opcodes():
        if tag == "equal":
            out += old[i1:i2]
        elif j2 > j1:
            near = old[min(i1, len(old) - 1)]
            end = "\r\n" if near.endswith("\r\n") else "\n"
            out += [line[:-1] + end if line.endswith("\n") else line for line in new[j1:j2]]
    return "".join(out)


def _plain_lines(text: str) -> bool:
    return not any(c in text for c in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")


def _split_lines(text: str) -> list[str]:
    """Lines with their ends, split at `\\n` only."""
    parts = text.split("\n")
    return [part + "\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _splice(lines: Sequence[str], edits: Iterable[Edit]) -> list[str]:
    text = "".join(lines)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    for edit in sorted(edits, key=lambda e: (e.span.line, e.span.column), reverse=True):
        begin = starts[edit.span.line - 1] + edit.span.column
        end = starts[edit.span.end_line - 1] + edit.span.end_column
        text = text[:begin] + edit.code + text[end:]
    return _split_lines(text)


def _regions(file: SourceFile, edits: Sequence[Edit]) -> list[tuple[int, int]]:
    """Line ranges of the top-level statements that hold the edits, in order, none overlapping."""
    found: list[tuple[int, int]] = []
    for edit in edits:
        for node in file.tree.body:
            decorators = getattr(node, "decorator_list", ())
            first = min([node.lineno, *(d.lineno for d in decorators)])
            last = node.end_lineno or node.lineno
            if first <= edit.span.end_line and edit.span.line <= last:
                found.append((first, last))
    if not found and edits:
        raise RewriteError("an edit lies outside every statement")
    merged: list[tuple[int, int]] = []
    for first, last in sorted(set(found)):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    for edit in edits:  # an edit over several top-level statements joins them
        for index in range(len(merged) - 1, 0, -1):
            if edit.span.line <= merged[index - 1][1] and edit.span.end_line >= merged[index][0]:
                merged[index - 1] = (merged[index - 1][0], merged.pop(index)[1])
    return merged


def _moved(edit: Edit, by: int) -> Edit:
    s = edit.span
    return Edit(edit.kind, Span(s.line + by, s.column, s.end_line + by, s.end_column), edit.code)


def _rewrite(region: str, edits: Sequence[Edit], indent: str) -> str:
    """One region's new text, with as few added parentheses as keep its meaning."""
    try:
        expected = ast.dump(edited_tree(region, edits))
    except (SyntaxError, LookupError, ValueError) as why:
        raise RewriteError(f"the edit has no place in the tree: {why}") from None
    newline = "" if region.endswith("\n") else "\n"
    config = cst.PartialParserConfig(default_indent=indent)
    try:
        wrapper = MetadataWrapper(cst.parse_module(region + newline, config), unsafe_skip_copy=True)
        for parenthesize in (0, 1, 2):
            module = wrapper.module.visit(_Writer(wrapper, edits, parenthesize))
            text = module.code
            try:
                if ast.dump(ast.parse(text)) == expected:
                    return text if not newline else text.removesuffix("\n")
            except SyntaxError:
                continue
    except (cst.ParserSyntaxError, cst.CSTValidationError, TypeError, AttributeError) as why:
        raise RewriteError(f"LibCST refuses the edit: {str(why).splitlines()[0]}") from None
    raise RewriteError("the written text would not mean what the edit says")


Block = cst.Module | cst.IndentedBlock | cst.SimpleStatementSuite


class _Writer(cst.CSTTransformer):
    """Makes all edits of one region in one pass; targets are found by position."""

    def __init__(self, wrapper: MetadataWrapper, edits: Sequence[Edit], parenthesize: int) -> None:
        super().__init__()
        self.config = wrapper.module.config_for_parsing
        # 0: nowhere, 1: around the original inside the new, 2: around the new as well
        self.parenthesize = parenthesize
        self.expressions: dict[cst.CSTNode, Edit] = {}
        self.blocks: dict[cst.CSTNode, list[tuple[int, int, Edit]]] = {}
        positions = wrapper.resolve(PositionProvider)
        missing = list(edits)
        for node, where in positions.items():
            span = Span(where.start.line, where.start.column, where.end.line, where.end.column)
            for edit in edits:
                if edit.kind in ("expression", "argument"):
                    if (
                        isinstance(node, cst.BaseExpression)
                        and _same_place(edit.span, span, node)
                        and edit not in self.expressions.values()
                        and (edit.kind == "expression" or isinstance(node, cst.Call))
                    ):
                        self.expressions[node] = edit
                        missing.remove(edit)
                elif isinstance(node, Block):
                    target = _range_in(node, edit.span, positions)
                    if target is not None and edit in missing:
                        self.blocks.setdefault(node, []).append((*target, edit))
                        missing.remove(edit)
        if missing:
            raise RewriteError(f"no code stands at line {missing[0].span.line} of the region")

    def on_leave(self, original_node: cst.CSTNode, updated_node: cst.CSTNode) -> Any:
        updated = updated_node
        edit = self.expressions.get(original_node)
        if edit is not None and edit.kind == "argument":
            assert isinstance(updated, cst.Call)
            return _with_argument(updated, edit.code, self.config)
        if edit is not None:
            assert isinstance(updated, cst.BaseExpression)
            return self._expression(updated, edit.code)
        if original_node in self.blocks:
            return self._block(updated, self.blocks[original_node])
        return updated

    def _expression(self, old: cst.BaseExpression, code: str) -> cst.BaseExpression:
        new = cst.parse_expression(code, self.config)
        bare = old.with_changes(lpar=(), rpar=()) if getattr(old, "lpar", ()) else old
        if isinstance(new, cst.Name) and new.value == EXPR:
            return old
        inner = _parenthesized(bare) if self.parenthesize else bare
        replaced = new.visit(_Substitute(inner))
        assert isinstance(replaced, cst.BaseExpression)
        if getattr(old, "lpar", ()):
            if isinstance(old, cst.Tuple | cst.GeneratorExp) and not _loose(replaced):
                return replaced
            return replaced.with_changes(lpar=old.lpar, rpar=old.rpar)
        return _parenthesized(replaced) if self.parenthesize > 1 else replaced

    def _block(self, block: cst.CSTNode, edits: list[tuple[int, int, Edit]]) -> cst.CSTNode:
        if isinstance(block, cst.SimpleStatementSuite):
            line = cst.SimpleStatementLine(
                block.body, trailing_whitespace=block.trailing_whitespace
            )
            block = cst.IndentedBlock([line])
        assert isinstance(block, cst.IndentedBlock | cst.Module)
        body = list(block.body)
        for first, last, edit in sorted(edits, key=lambda e: e[0], reverse=True):
            old = body[first : last + 1]
            snippet = cst.parse_module(edit.code, self.config).visit(_BareEmptyLines())
            body[first : last + 1] = _substituted(list(snippet.body), old)
        if not body:
            body = [cst.parse_statement("pass", self.config)]
        return block.with_changes(body=body)


class _BareEmptyLines(cst.CSTTransformer):
    """Empty lines of a snippet stay without blanks wherever it is put."""

    def on_leave(self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT) -> cst.CSTNodeT:
        if isinstance(updated_node, cst.EmptyLine) and updated_node.comment is None:
            return updated_node.with_changes(indent=False)
        return updated_node


class _Substitute(cst.CSTTransformer):
    """Puts the original expression where `__expr__` stands."""

    def __init__(self, old: cst.BaseExpression) -> None:
        super().__init__()
        self.old = old

    def on_leave(self, original_node: cst.CSTNode, updated_node: cst.CSTNode) -> Any:
        if isinstance(updated_node, cst.Name) and updated_node.value == EXPR:
            return self.old
        return updated_node


class _SubstituteBody(cst.CSTTransformer):
    """Puts the original statements where a bare `__body__` stands inside a compound statement."""

    def __init__(self, old: list[cst.BaseStatement]) -> None:
        super().__init__()
        self.old = old

    def on_leave(self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT) -> cst.CSTNodeT:
        if not isinstance(updated_node, cst.IndentedBlock):
            return updated_node
        body: list[cst.BaseStatement | cst.BaseSmallStatement] = []
        for statement in updated_node.body:
            body += self.old if _is_body(statement) else [statement]
        return updated_node.with_changes(body=body)


def _substituted(
    new: list[cst.BaseStatement], old: list[cst.BaseStatement]
) -> list[cst.BaseStatement]:
    """The snippet with the old statements put in; blank lines and comments stay where they read."""
    lead = _leading(old[0])
    blanks = 0
    while blanks < len(lead) and lead[blanks].comment is None:
        blanks += 1
    if new and _is_body(new[0]):
        moved, kept = list(old), list(lead)
    elif any(_holds_body(statement) for statement in new):
        moved = [_led(old[0], lead[blanks:]), *old[1:]]
        kept = lead[:blanks]
    else:
        moved, kept = list(old), list(lead)
    out: list[cst.BaseStatement] = []
    for statement in new:
        if _is_body(statement):
            gap = _leading(statement) if out else []
            out += [_led(moved[0], [*gap, *_leading(moved[0])]) if gap else moved[0], *moved[1:]]
        else:
            replaced = statement.visit(_SubstituteBody(moved))
            assert isinstance(replaced, cst.BaseStatement)
            out.append(replaced)
    if out and not (new and _is_body(new[0])):
        out[0] = _led(out[0], [*kept, *_leading(out[0])])
    return out


def _is_body(statement: cst.BaseStatement | cst.BaseSmallStatement) -> bool:
    return (
        isinstance(statement, cst.SimpleStatementLine)
        and len(statement.body) == 1
        and isinstance(statement.body[0], cst.Expr)
        and isinstance(statement.body[0].value, cst.Name)
        and statement.body[0].value.value == BODY
    )


def _holds_body(statement: cst.CSTNode) -> bool:
    if isinstance(statement, cst.BaseStatement) and _is_body(statement):
        return True
    return any(_holds_body(child) for child in statement.children)


def _leading(statement: cst.BaseStatement) -> list[cst.EmptyLine]:
    return list(getattr(statement, "leading_lines", ()))


def _led(statement: cst.BaseStatement, lines: Sequence[cst.EmptyLine]) -> cst.BaseStatement:
    return statement.with_changes(leading_lines=list(lines))


def _same_place(wanted: Span, span: Span, node: cst.CSTNode) -> bool:
    if wanted == span:
        return True
    # the standard tree counts the parentheses of a tuple or generator, LibCST does not
    return (
        isinstance(node, cst.Tuple | cst.GeneratorExp)
        and bool(node.lpar)
        and (wanted.line, wanted.column) < (span.line, span.column)
        and (wanted.end_line, wanted.end_column) > (span.end_line, span.end_column)
        and wanted.line >= span.line - 1
        and span.column - wanted.column in (1, span.column - wanted.column)
        and wanted.end_line - span.end_line <= 1
        and (wanted.line != span.line or span.column - wanted.column == 1)
    )


def _range_in(
    block: Block, span: Span, positions: Mapping[cst.CSTNode, Any]
) -> tuple[int, int] | None:
    """First and last index of the block's statements that the span covers from its start."""
    get = positions.__getitem__
    body: Sequence[cst.CSTNode] = block.body
    if isinstance(block, cst.SimpleStatementSuite):
        start, end = get(body[0]).start, get(body[-1]).end
        inside = (start.line, start.column) <= (span.line, span.column) and (
            end.line,
            end.column,
        ) >= (span.end_line, span.end_column)
        return (0, len(body) - 1) if inside else None
    first = last = None
    for index, statement in enumerate(body):
        where = get(statement)
        top = where.start.line
        for decorator in getattr(statement, "decorators", ()):
            top = min(top, get(decorator).start.line)
        if top == span.line:
            small = statement.body if isinstance(statement, cst.SimpleStatementLine) else ()
            starts = {where.start.column, *(get(part).start.column for part in small)}
            if span.column in starts:
                first = index
        if first is not None and top <= span.end_line and where.end.line <= span.end_line:
            last = index
    return None if first is None or last is None else (first, last)


_LOOSE = (
    cst.BinaryOperation
    | cst.BooleanOperation
    | cst.UnaryOperation
    | cst.Comparison
    | cst.IfExp
    | cst.Lambda
    | cst.NamedExpr
    | cst.Await
    | cst.Yield
    | cst.Tuple
)


def _loose(node: cst.CSTNode) -> bool:
    return isinstance(node, _LOOSE) and not node.lpar


def _parenthesized(node: cst.BaseExpression) -> cst.BaseExpression:
    if not _loose(node):
        return node
    return node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def _with_argument(call: cst.Call, code: str, config: cst.PartialParserConfig) -> cst.Call:
    """The call with one more argument, in the way its arguments are laid out."""
    parsed = cst.parse_expression(f"f({code})", config)
    assert isinstance(parsed, cst.Call)
    new = parsed.args[0]
    if not call.args:
        return call.with_changes(args=[new])
    *rest, last = call.args
    if isinstance(call.whitespace_before_args, cst.ParenthesizedWhitespace):
        between = cst.Comma(whitespace_after=call.whitespace_before_args)
    elif rest and isinstance(rest[-1].comma, cst.Comma):
        between = rest[-1].comma
    else:
        between = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    new = new.with_changes(comma=last.comma, whitespace_after_arg=last.whitespace_after_arg)
    plain = last.with_changes(comma=between, whitespace_after_arg=cst.SimpleWhitespace(""))
    return call.with_changes(args=[*rest, plain, new])
